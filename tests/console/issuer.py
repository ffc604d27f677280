"""A third system that people sign in at: OpenID Connect, code flow with PKCE, as its RFCs say."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from tests.tokens import private_key, public_jwk, token

CLIENT_ID = "almenara-console"
_CORS = {"Access-Control-Allow-Origin": "*"}


@dataclass
class SignInServer:
    """The issuer; whoever comes is Ana, and may what ``scope`` says."""

    scope: str = "messages:read messages:send config:read"
    #: What it sends back instead of a code.
    error: str | None = None
    #: Whether its access tokens are for itself alone.
    opaque: bool = False
    lifetime_seconds: int = 600
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    granted: list[str] = field(default_factory=list)

    async def __aenter__(self) -> SignInServer:
        """Start it on any port."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._describe)
        app.router.add_get("/jwks", self._keys)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        [port] = {address[1] for address in self._runner.addresses}
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop it."""
        await self._runner.cleanup()

    def settings(self) -> dict[str, str]:
        """Return the settings of an Almenara that trusts it."""
        return {
            "jwt_issuer": self.url,
            "jwt_jwks_url": f"{self.url}/jwks",
            "console_oidc_issuer": self.url,
            "console_client_id": CLIENT_ID,
            "console_scope": "openid almenara",
        }

    async def _describe(self, _: web.Request) -> web.Response:
        document = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
        }
        return web.json_response(document, headers=_CORS)

    async def _keys(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [public_jwk("ES256", kid="one")]})

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        self.asked.append(asked)
        given = {"error": self.error} if self.error else {"code": "a-code", "iss": self.url}
        back = urlencode({**given, "state": asked["state"]})
        raise web.HTTPFound(f"{asked['redirect_uri']}?{back}")

    async def _token(self, request: web.Request) -> web.Response:
        form: dict[str, Any] = dict(await request.post())
        assert form["client_id"] == CLIENT_ID
        if form["grant_type"] == "authorization_code":
            asked = self.asked[-1]
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            good = (form["code"], form["redirect_uri"]) == ("a-code", asked["redirect_uri"])
            if not good or challenge != asked["code_challenge"]:
                return web.json_response({"error": "invalid_grant"}, status=400, headers=_CORS)
        elif form["refresh_token"] != "again":
            return web.json_response({"error": "invalid_grant"}, status=400, headers=_CORS)
        self.granted.append(form["grant_type"])
        written = token(
            key=private_key("ES256"),
            algorithm="ES256",
            header={"kid": "one"},
            iss=self.url,
            sub="ana",
            scope=self.scope,
        )
        answer = {
            "access_token": "opaque" if self.opaque else written,
            "id_token": written if self.opaque else "a.b.c",
            "refresh_token": "again",
            "token_type": "Bearer",
        }
        return web.json_response(answer, headers=_CORS)
