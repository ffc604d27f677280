"""Keys and signatures, by PyJWT: the only file that imports it.

Which algorithm is taken is the key's to say, never the token's (RFC 8725, sections 2.1 and 3.1).
What it imports comes with :func:`load`: a server that asks for no tokens never needs it, and it is
a twelfth of the time to start and of the memory.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from almenara.errors import TokenError

#: Shorter secrets can be guessed (RFC 7518, section 3.2), in bytes.
SHORTEST_SECRET = 32
#: RFC 7518, section 3.3, in bits.
_SHORTEST_RSA = 2048
#: A secret of fewer different bytes was written by a hand that was in a hurry.
_FEWEST_DIFFERENT_BYTES = 8

#: By the kind of a published key, the one algorithm that it is used with here.
_ALGORITHMS: dict[tuple[Any, Any], str] = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}


def load() -> None:
    """Import what keys and signatures are read with, so that no request waits for it."""
    import jwt  # noqa: F401 - it stays in `sys.modules`


@dataclass(frozen=True, slots=True)
class Key:
    """Something that signatures are checked with."""

    #: ``RS256``, ``ES256``, ``EdDSA`` or ``HS256``.
    algorithm: str
    material: Any = field(repr=False)
    #: The name that a key set gives it.
    key_id: str | None = None


def read_secret(text: str) -> Key:
    """Return the key of a shared secret.

    Raises:
        ValueError: it is too short or too simple; says what to do.
    """
    secret = text.encode()
    if len(secret) < SHORTEST_SECRET or len(set(secret)) < _FEWEST_DIFFERENT_BYTES:
        raise ValueError(
            f"the secret is too short or too simple: take at least {SHORTEST_SECRET} random bytes, "
            "such as `openssl rand -base64 48` prints"
        )
    return Key("HS256", secret)


def read_public_key(text: str) -> Key:
    """Return a public key that is written in PEM.

    Raises:
        ValueError: it is none, or of a kind that is not taken; says which are.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text.encode())
    except Exception as error:  # the library raises several kinds; none says more
        raise ValueError(
            "it is no public key in PEM, which begins with `-----BEGIN PUBLIC KEY-----`"
        ) from error
    algorithm = _algorithm_of(key)
    if algorithm is None:
        raise ValueError(
            f"take an RSA key of {_SHORTEST_RSA} bits or more, one on P-256, or an Ed25519 key"
        )
    return Key(algorithm, key)


def read_key_set(document: Any) -> dict[str | None, Key]:
    """Return the usable keys of a JWK Set (RFC 7517), by their ids.

    What is not for signatures, shared (``oct``), too short, not understood, or named like another
    one is left out.

    Raises:
        ValueError: it is no key set, or has no key that can be used.
    """
    entries = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise ValueError("it is no JWK Set: there is no list of `keys`")  # noqa: TRY004 - a document, no argument
    found: dict[str | None, list[Key]] = {}
    for entry in entries[:100]:
        key = _read_entry(entry)
        if key is not None:
            found.setdefault(key.key_id, []).append(key)
    keys = {name: same[0] for name, same in found.items() if len(same) == 1}
    if not keys:
        raise ValueError("none of its keys can be used: RS256, ES256 and EdDSA are taken")
    return keys


def check_signature(token: str, key: Key) -> None:
    """Go on only when the token was signed with this key, by the key's own algorithm.

    Raises:
        TokenError: it was not.
    """
    import jwt

    try:
        jwt.PyJWS(algorithms=[key.algorithm]).decode(
            token, key.material, algorithms=[key.algorithm]
        )
    except Exception as error:  # whatever it is, the signature was not found right
        raise TokenError from error


def sign(claims: Mapping[str, Any], secret: str) -> str:
    """Return a token, signed with a shared secret: for development, and for tests."""
    import jwt

    key = read_secret(secret)
    return jwt.encode(dict(claims), key.material, algorithm=key.algorithm)


def _read_entry(entry: Any) -> Key | None:
    if not isinstance(entry, Mapping):
        return None
    kind = (entry.get("kty"), entry.get("crv"))
    algorithm = _ALGORITHMS.get(kind) if all(_is_text(one) for one in kind) else None
    operations = entry.get("key_ops", ["verify"])
    name = entry.get("kid")
    if (
        algorithm is None
        or entry.get("alg", algorithm) != algorithm
        or entry.get("use", "sig") != "sig"
        or not (isinstance(operations, list) and "verify" in operations)
        or not _is_text(name)
    ):
        return None
    import jwt

    try:
        material = jwt.PyJWK.from_dict(dict(entry), algorithm).key
    except Exception:  # noqa: BLE001 - the library raises several kinds; the key is left out
        return None
    return Key(algorithm, material, name) if _algorithm_of(material) == algorithm else None


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _algorithm_of(key: Any) -> str | None:
    """Return what a public key signs with; ``None`` for one that is not taken, private ones too."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, RSAPublicKey) and key.key_size >= _SHORTEST_RSA:
        return "RS256"
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    return "EdDSA" if isinstance(key, Ed25519PublicKey) else None


_SEGMENT = re.compile(r"[A-Za-z0-9_-]*")


def decode_segment(text: str) -> bytes:
    """Decode base64url without padding (RFC 7515, section 2), strictly.

    Raises:
        TokenError: it is something else.
    """
    if not _SEGMENT.fullmatch(text) or len(text) % 4 == 1:
        raise TokenError
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
