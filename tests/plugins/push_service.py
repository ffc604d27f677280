"""A browser with a push subscription, which opens what a push service got for it."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from almenara.testing import Received


def b64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def from_b64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def private_key(raw: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1())


def open_record(body: bytes, material: bytes) -> bytes:
    """Decrypt a body of one record (RFC 8188)."""
    salt, size, id_length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
    record = body[21 + id_length :]
    assert 18 <= len(record) <= size
    key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(material)
    nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(material)
    text = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")
    assert text[-1] == 2
    return text[:-1]


class Browser:
    """One browser, with its keys; its subscription is at a push service's address."""

    def __init__(
        self, key: ec.EllipticCurvePrivateKey | None = None, auth: bytes = b"0123456789abcdef"
    ) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.auth = auth

    def subscription(self, endpoint: str) -> dict[str, Any]:
        """What `PushManager.subscribe` gives, as JSON has it."""
        keys = {"p256dh": b64url(point(self.key.public_key())), "auth": b64url(self.auth)}
        return {"endpoint": endpoint, "expirationTime": None, "keys": keys}

    def open(self, body: bytes) -> bytes:
        """Decrypt what came (RFC 8291, section 3.3)."""
        sender = body[21 : 21 + body[20]]
        theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        info = b"WebPush: info\0" + point(self.key.public_key()) + sender
        shared = self.key.exchange(ec.ECDH(), theirs)
        return open_record(body, HKDF(SHA256(), 32, self.auth, info).derive(shared))

    def read(self, arrived: Received) -> dict[str, Any]:
        """Return the object that the service worker gets."""
        assert arrived.headers["Content-Encoding"] == "aes128gcm"
        assert len(arrived.body) <= 4_096
        shown: dict[str, Any] = json.loads(self.open(arrived.body))
        return shown


def sender_of(arrived: Received, audience: str) -> tuple[bytes, dict[str, Any]]:
    """Verify VAPID as a push service does; return the sender's public key and the claims."""
    scheme, _, rest = arrived.headers["Authorization"].partition(" ")
    assert scheme == "vapid"
    fields = dict(one.strip().split("=", 1) for one in rest.split(","))
    public = from_b64url(fields["k"])
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    options = {"require": ["exp", "aud", "sub"]}
    return public, jwt.decode(fields["t"], key, ["ES256"], audience=audience, options=options)
