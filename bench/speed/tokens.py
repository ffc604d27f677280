"""An issuer of the bench's own: a key pair, what the server is told of it, and one token."""

from __future__ import annotations

import time
from collections.abc import Mapping

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

_ISSUER, _AUDIENCE = "bench", "almenara"
_SECONDS = 43_200
_SCOPES = "messages:send config:write"


class Issuer:
    """Issues one token that is good for half a day, signed by RS256."""

    def __init__(self) -> None:
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        #: For the server's environment.
        self.settings: Mapping[str, str] = {
            "ALMENARA_JWT_ISSUER": _ISSUER,
            "ALMENARA_JWT_AUDIENCE": _AUDIENCE,
            "ALMENARA_JWT_PUBLIC_KEY": public.decode(),
        }
        now = int(time.time())
        claims = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": "bench", "scope": _SCOPES}
        claims |= {"iat": now, "exp": now + _SECONDS}
        self.token = jwt.encode(claims, key, algorithm="RS256")
