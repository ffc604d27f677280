"""Tokens as a third system issues them, good and bad; and the issuer's own server."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "https://id.example.org"
AUDIENCE = "almenara"
SECRET = "0123456789abcdefghijklmnopqrstuvwxyz-ABCDEF"
SCOPES = (
    "messages:send messages:read config:read config:write deliveries:manage admin:read admin:backup"
)


def private_key(kind: str, number: int = 0) -> Any:
    """Return a private key; another number, another key."""
    return _private_key(kind, number)


@cache
def _private_key(kind: str, number: int) -> Any:
    del number  # only makes the cache tell them apart
    if kind == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if kind == "RSA 1024":
        return rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return (
        ec.generate_private_key(ec.SECP256R1())
        if kind == "ES256"
        else (ed25519.Ed25519PrivateKey.generate())
    )


def public_pem(kind: str, number: int = 0) -> str:
    """Return the public half in PEM."""
    key = private_key(kind, number).public_key()
    return str(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "ascii")


def public_jwk(kind: str, number: int = 0, **fields: Any) -> dict[str, Any]:
    """Return the public half as a JWK."""
    key = private_key(kind, number).public_key()
    algorithm = "RS256" if kind.startswith("RS") else kind
    entry = jwt.get_algorithm_by_name(algorithm).to_jwk(key, as_dict=True)
    return {name: value for name, value in {**entry, **fields}.items() if value is not None}


def claims(**changes: Any) -> dict[str, Any]:
    """Return good claims, but for what is changed; ``None`` leaves a claim out."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "shop",
        "iat": now,
        "exp": now + 600,
        "scope": SCOPES,
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(*, key: Any = None, algorithm: str = "HS256", header: Any = None, **changes: Any) -> str:
    """Return a token as the issuer of the tests writes it."""
    return jwt.encode(
        claims(**changes), SECRET if key is None else key, algorithm=algorithm, headers=header
    )


def raw(header: Any, payload: Any, *, key: str = SECRET) -> str:
    """Return a token that a library would not write, signed by HS256; texts go in as they are."""
    first, second = (
        _segment(one if isinstance(one, str) else json.dumps(one)) for one in (header, payload)
    )
    signature = jwt.get_algorithm_by_name("HS256").sign(f"{first}.{second}".encode(), key.encode())
    return f"{first}.{second}.{_segment(signature)}"


def bearer(text: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {text}"}


def _segment(content: str | bytes) -> str:
    raw_content = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return base64.urlsafe_b64encode(raw_content).rstrip(b"=").decode()


@dataclass
class IssuerServer:
    """The issuer's server: publishes keys, counts who asks, and may misbehave."""

    #: What it answers at any address.
    document: Any = field(default_factory=lambda: {"keys": []})
    status: int = 200
    content_type: str = "application/json"
    #: What it waits before it answers, in seconds.
    delay_seconds: float = 0.0
    #: Which addresses were asked for.
    asked: list[str] = field(default_factory=list)
    url: str = ""

    async def __aenter__(self) -> IssuerServer:
        """Start it on any port."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        [port] = {address[1] for address in self._runner.addresses}
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop it."""
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        await asyncio.sleep(self.delay_seconds)
        document = self.document
        if isinstance(document, dict) and request.path in document:
            document = document[request.path]
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"Content-Type": self.content_type, "Location": f"{self.url}/elsewhere"}
        return web.Response(status=self.status, body=body, headers=headers)
