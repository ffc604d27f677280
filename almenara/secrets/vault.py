"""Secrets of channels: sealed with AES-256-GCM, bound to the channel and the field.

A sealed value copied to another channel or field does not open. It names the key that sealed it, so
that several may be known: one seals, and the older ones only open what they sealed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from almenara.errors import ConfigurationError
from almenara.secrets.references import References

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: What a secret looks like from outside. Written back, it means "unchanged".
MASK = "********"

_SEALED = "$sealed"
#: Sealed before keys had names; any of the keys may open it.
_NAMELESS = "v1"
_VERSION = "v2"
_NONCE_BYTES = 12
_NAME_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Opened:
    """A channel's settings as its plugin gets them."""

    values: Mapping[str, Any]
    #: What references led to: as secret as what was sealed.
    hidden: Collection[str]


class Vault:
    """Seals and opens the secret values of channels.

    Args:
        keys: 32 bytes each; the first one seals, all of them open.
        secrets_dir: the directory that ``file:`` may read from; ``None``: none.
    """

    def __init__(self, *keys: bytes, secrets_dir: Path | None = None) -> None:
        self._keys = {_name_of(key): key for key in keys}
        self._newest = _name_of(keys[0])
        self._references = References(secrets_dir)

    def seal(
        self, values: Mapping[str, Any], secret_names: Collection[str], *, place: str
    ) -> dict[str, Any]:
        """Return the values with the secret ones sealed; a reference is none.

        Args:
            place: what the values are bound to: the channel's id.
        """
        return {
            name: self._seal_one(value, f"{place}/{name}")
            if name in secret_names and not self._references.is_one(value)
            else value
            for name, value in values.items()
        }

    def open(self, values: Mapping[str, Any], *, place: str) -> dict[str, Any]:
        """Return the values with the sealed ones in clear, and references as they are written.

        Raises:
            ConfigurationError: a value was sealed with another key or for another place.
        """
        return {
            name: self._open_one(value[_SEALED], f"{place}/{name}") if is_sealed(value) else value
            for name, value in values.items()
        }

    def open_for_sending(self, values: Mapping[str, Any], *, place: str) -> Opened:
        """Return the values as the plugin gets them: also what references lead to.

        Raises:
            ConfigurationError: a value was sealed with another key or for another place.
            InvalidInputError: a reference leads nowhere in this process; names the field.
        """
        return Opened(*self._references.follow(self.open(values, place=place)))

    def check_references(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], Sequence[str]]:
        """Return the values with what references lead to here, without those that lead nowhere.

        Those are a sentence each: another process may know them.

        Raises:
            InvalidInputError: a reference is one that no process may follow; names the field.
        """
        return self._references.try_to_follow(values)

    def is_newest(self, value: object) -> bool:
        """Tell whether a sealed value was sealed with the key that seals now."""
        return is_sealed(value) and _parts(value[_SEALED])[0] == self._newest  # type: ignore[index]  # sealed

    def _seal_one(self, value: Any, context: str) -> dict[str, str]:
        nonce = os.urandom(_NONCE_BYTES)
        cipher = _cipher(self._keys[self._newest])
        text = cipher.encrypt(nonce, json.dumps(value).encode(), context.encode())
        return {_SEALED: f"{_VERSION}.{self._newest}.{base64.b64encode(nonce + text).decode()}"}

    def _open_one(self, sealed: str, context: str) -> Any:
        from cryptography.exceptions import InvalidTag

        name, text = _parts(sealed)
        keys = self._keys.values() if name is None else [self._keys.get(name)]
        for key in keys:
            try:
                raw = base64.b64decode(text, validate=True)
                if key is not None:
                    nonce, hidden = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
                    return json.loads(_cipher(key).decrypt(nonce, hidden, context.encode()))
            except (InvalidTag, ValueError):
                continue
        raise ConfigurationError(
            f"The secret {context.rpartition('/')[2]!r} does not open: it was sealed with another "
            "key. Restore the key (ALMENARA_SECRET_KEY, or secret.key in the data directory; an "
            "older one goes into ALMENARA_SECRET_KEYS_OLD), or write the channel's secret anew."
        )


def is_sealed(value: object) -> bool:
    """Tell whether a stored value is a sealed one."""
    return isinstance(value, dict) and value.keys() == {_SEALED}


def masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored values as they may be shown: each sealed one masked."""
    return {name: MASK if is_sealed(value) else value for name, value in values.items()}


def _cipher(key: bytes) -> AESGCM:
    # Where nothing is sealed, a server starts faster and is smaller without it.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _name_of(key: bytes) -> str:
    """Return what a key is called: a digest, which says nothing of the key."""
    return hashlib.sha256(b"almenara key\0" + key).hexdigest()[:_NAME_LENGTH]


def _parts(sealed: str) -> tuple[str | None, str]:
    """Return the name of the key, if the value says it, and what is sealed."""
    version, _, rest = str(sealed).partition(".")
    if version != _VERSION:
        return None, rest
    name, _, text = rest.partition(".")
    return name, text
