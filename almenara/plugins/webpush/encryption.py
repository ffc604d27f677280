"""Encrypts a push for one browser: RFC 8291, in one record of RFC 8188 (`aes128gcm`).

The library for it is loaded at the first use: a server without this channel does without its 7 MB.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )

_RECORD_BYTES = 4_096
_SALT_BYTES, _TAG_BYTES, _POINT_BYTES = 16, 16, 65
#: What fits into one record beside its header, its delimiter and its tag; a push service need take
#: no more (RFC 8030, section 7.2).
LONGEST_TEXT = _RECORD_BYTES - (_SALT_BYTES + 4 + 1 + _POINT_BYTES) - 1 - _TAG_BYTES
AUTH_BYTES = 16


def read_base64url(text: str) -> bytes:
    """Return the bytes of base64url, with or without its padding.

    Raises:
        ValueError: it is none. The text is not in the error.
    """
    try:
        padded = text.strip().rstrip("=") + "=" * (-len(text.strip().rstrip("=")) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be written in base64url") from None


def write_base64url(value: bytes) -> str:
    """Return bytes in base64url, without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def read_point(value: bytes) -> EllipticCurvePublicKey:
    """Return the key that a browser made, from its point on the curve P-256.

    Raises:
        ValueError: it is no point of that curve.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

    try:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), value)
    except ValueError:
        raise ValueError("must be a point of the curve P-256") from None


def write_point(key: EllipticCurvePublicKey) -> bytes:
    """Return the point of a key, uncompressed: 65 bytes."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def encrypt(
    text: bytes,
    browser: EllipticCurvePublicKey,
    auth: bytes,
    *,
    own: EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """Return the body of a push that only the browser can read.

    Args:
        text: at most ``LONGEST_TEXT`` bytes.
        browser: the subscription's ``p256dh``.
        auth: the subscription's ``auth``, 16 bytes.
        own: the key of this one push; a new one when absent, as it is but for the RFC's example.
        salt: 16 bytes; likewise.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import ECDH, SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    own = own or generate_private_key(SECP256R1())
    salt = salt or os.urandom(_SALT_BYTES)
    ours, theirs = write_point(own.public_key()), write_point(browser)
    shared = own.exchange(ECDH(), browser)
    secret = _derive(auth, shared, b"WebPush: info\0" + theirs + ours, 32)
    key = _derive(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(salt, secret, b"Content-Encoding: nonce\0", 12)
    header = salt + struct.pack("!IB", _RECORD_BYTES, len(ours)) + ours
    # 2 ends the last record.
    return header + AESGCM(key).encrypt(nonce, text + b"\x02", None)


def _derive(salt: bytes, material: bytes, info: bytes, length: int) -> bytes:
    """Return HKDF with SHA-256 (RFC 5869) of one block: 32 bytes at most."""
    extracted = hmac.new(salt, material, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()[:length]
