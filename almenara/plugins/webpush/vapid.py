"""Says to a push service who sends: VAPID (RFC 8292), a token signed with ES256."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .encryption import read_base64url, write_base64url, write_point

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_KEY_BYTES = 32
#: No push service takes a token for longer than a day.
_TOKEN_SECONDS = 12 * 3600


def read_key(text: str) -> EllipticCurvePrivateKey:
    """Return the private key, from its 32 bytes in base64url or from PEM without a password.

    Raises:
        ValueError: it is none of P-256. The text is not in the error.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey

    try:
        key = _loaded(text.strip())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    raise ValueError("must be a private key of P-256: 32 bytes in base64url, or PEM")


def authorization(key: EllipticCurvePrivateKey, subject: str, endpoint: str) -> str:
    """Return the header `Authorization` for one push."""
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    parts = urlsplit(endpoint)
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc}",
        "exp": int(time.time()) + _TOKEN_SECONDS,
        "sub": subject,
    }
    signed = f"{_segment({'typ': 'JWT', 'alg': 'ES256'})}.{_segment(claims)}"
    one, two = decode_dss_signature(key.sign(signed.encode(), ECDSA(SHA256())))
    # JWS wants the two numbers as they are (RFC 7518, section 3.4), not in DER.
    signature = one.to_bytes(_KEY_BYTES, "big") + two.to_bytes(_KEY_BYTES, "big")
    public = write_base64url(write_point(key.public_key()))
    return f"vapid t={signed}.{write_base64url(signature)}, k={public}"


def _loaded(text: str) -> object:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if text.startswith("-----BEGIN"):
        return load_pem_private_key(text.encode(), None)
    raw = read_base64url(text)
    if len(raw) != _KEY_BYTES:
        return None
    return derive_private_key(int.from_bytes(raw, "big"), SECP256R1())


def _segment(value: object) -> str:
    return write_base64url(json.dumps(value, separators=(",", ":")).encode())
