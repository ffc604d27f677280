"""The keys for secrets at rest: from the settings or, on SQLite, from files beside the database."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from almenara.errors import ConfigurationError
from almenara.secrets.vault import Vault
from almenara.settings import Settings

_KEY_BYTES = 32


def open_vault(settings: Settings) -> Vault:
    """Find the key, or make one in the data directory at the first start on SQLite.

    Raises:
        ConfigurationError: a key is not 32 bytes in base64, is missing on PostgreSQL, or its file
            cannot be read.
    """
    older = _given_older(settings)
    if settings.secret_key is not None:
        key = _decode(settings.secret_key.get_secret_value(), "ALMENARA_SECRET_KEY")
        return Vault(key, *older, secrets_dir=settings.secrets_dir)
    if not settings.uses_sqlite:
        raise ConfigurationError(
            "Set ALMENARA_SECRET_KEY, the same in every process: 32 bytes in base64, made by "
            "`openssl rand -base64 32`."
        )
    path = key_file(settings)
    try:
        key = _decode(_read_or_make(path), str(path))
        kept = [_decode(line, str(_older_file(path))) for line in _older_lines(path)]
    except OSError as error:
        raise ConfigurationError(
            f"The key file {path} cannot be read: {error.strerror}."
        ) from error
    return Vault(key, *older, *kept, secrets_dir=settings.secrets_dir)


def key_file(settings: Settings) -> Path:
    """Return where the key stands that no setting gives."""
    return settings.data_dir / "secret.key"


def renew_key(path: Path) -> None:
    """Put a new key into the key file, and the one before to those that only open.

    Killed at any moment, every key that sealed anything is in one of the two files.
    """
    older = [_read_or_make(path), *_older_lines(path)]
    _write(_older_file(path), "\n".join(dict.fromkeys(older)))
    _write(path, new_key())


def new_key() -> str:
    """Return a new key as it is written."""
    return base64.b64encode(os.urandom(_KEY_BYTES)).decode()


def _given_older(settings: Settings) -> list[bytes]:
    if settings.secret_keys_old is None:
        return []
    text = settings.secret_keys_old.get_secret_value().replace(",", " ")
    return [_decode(one, "ALMENARA_SECRET_KEYS_OLD") for one in text.split()]


def _older_file(path: Path) -> Path:
    return path.with_name(path.name + ".old")


def _older_lines(path: Path) -> list[str]:
    older = _older_file(path)
    return older.read_text(encoding="ascii", errors="replace").split() if older.exists() else []


def _read_or_make(path: Path) -> str:
    """Read the key file; make it, readable by its owner alone, if there is none.

    Killed at any moment, or on a full disk, it is there whole or not at all. The caller holds the
    data directory's lock, so nobody else makes one at the same time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _write(path, new_key())
    return path.read_text(encoding="ascii", errors="replace").strip()


def _write(path: Path, key: str) -> None:
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(
        os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii"
    ) as file:
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        # The key must outlive a power cut if anything sealed with it does.
        os.fsync(directory)
    finally:
        os.close(directory)


def _decode(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigurationError(
            f"{where} is not 32 bytes in base64; make one with `openssl rand -base64 32`."
        )
    return key
