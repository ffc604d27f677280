"""Channel secrets at rest: sealed with AES-256-GCM, bound to the channel and the field.

A sealed value copied to another channel or field does not open. The key comes from
``ALMENARA_SECRET_KEY`` or, on SQLite, from the file ``secret.key`` beside the database.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from almenara.errors import ConfigurationError
from almenara.settings import Settings

#: What a secret looks like from outside. Written back, it means "unchanged".
MASK = "********"

_SEALED = "$sealed"
_VERSION = "v1."
_KEY_BYTES = 32
_NONCE_BYTES = 12


class Vault:
    """Seals and opens the secret values of channels with one key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(
        self, values: Mapping[str, Any], secret_names: Collection[str], *, place: str
    ) -> dict[str, Any]:
        """Return the values with the secret ones sealed.

        Args:
            place: what the values are bound to: the channel's id.
        """
        return {
            name: self._seal_one(value, f"{place}/{name}") if name in secret_names else value
            for name, value in values.items()
        }

    def open(self, values: Mapping[str, Any], *, place: str) -> dict[str, Any]:
        """Return the values with the sealed ones in clear.

        Raises:
            ConfigurationError: a value was sealed with another key or for another place.
        """
        return {
            name: self._open_one(value[_SEALED], f"{place}/{name}") if is_sealed(value) else value
            for name, value in values.items()
        }

    def _seal_one(self, value: Any, context: str) -> dict[str, str]:
        nonce = os.urandom(_NONCE_BYTES)
        text = self._cipher.encrypt(nonce, json.dumps(value).encode(), context.encode())
        return {_SEALED: _VERSION + base64.b64encode(nonce + text).decode()}

    def _open_one(self, sealed: str, context: str) -> Any:
        try:
            raw = base64.b64decode(sealed.removeprefix(_VERSION), validate=True)
            clear = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise ConfigurationError(
                f"The secret {context.rpartition('/')[2]!r} does not open: it was sealed with "
                "another key. Restore the key (ALMENARA_SECRET_KEY, or secret.key in the data "
                "directory), or write the channel's secret anew."
            ) from error
        return json.loads(clear)


def is_sealed(value: object) -> bool:
    """Tell whether a stored value is a sealed one."""
    return isinstance(value, dict) and value.keys() == {_SEALED}


def masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored values as they may be shown: each sealed one masked."""
    return {name: MASK if is_sealed(value) else value for name, value in values.items()}


def open_vault(settings: Settings) -> Vault:
    """Find the key, or make one in the data directory at the first start on SQLite.

    Raises:
        ConfigurationError: the key is not 32 bytes in base64, is missing on PostgreSQL, or its file
            cannot be read.
    """
    if settings.secret_key is not None:
        return Vault(_decode(settings.secret_key.get_secret_value(), "ALMENARA_SECRET_KEY"))
    if not settings.uses_sqlite:
        raise ConfigurationError(
            "Set ALMENARA_SECRET_KEY, the same in every process: 32 bytes in base64, made by "
            "`openssl rand -base64 32`."
        )
    path = settings.data_dir / "secret.key"
    try:
        return Vault(_decode(_read_or_make(path), str(path)))
    except OSError as error:
        raise ConfigurationError(
            f"The key file {path} cannot be read: {error.strerror}."
        ) from error


def _read_or_make(path: Path) -> str:
    """Read the key file; make it, readable by its owner alone, if there is none.

    Killed at any moment, or on a full disk, it is there whole or not at all. The caller holds the
    data directory's lock, so nobody else makes one at the same time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _write(path, base64.b64encode(os.urandom(_KEY_BYTES)).decode())
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
