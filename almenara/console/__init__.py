"""The console: static files for a browser, which is then a client of the API like any other."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from almenara.settings import Settings

STATIC: Final = Path(__file__).parent / "static"
#: The page itself is at `/`, and what it loads is below this.
FOLDER: Final = "/console/"

_PAGE = "index.html"
#: Where the page is told what it needs to know before anybody has signed in.
_PLACE = b"<!-- settings -->"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class _File:
    """One file as it is served."""

    content: bytes
    tag: str


class Console:
    """The routes of the console; none when it is switched off.

    A file is read when it is asked for first, so that the server starts no later for it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: dict[str, _File] = {}
        self._policy = policy(settings.console_oidc_issuer)
        names = [one.name for one in STATIC.iterdir()] if settings.console else []
        self._names: dict[str, str] = {
            "/" if name == _PAGE else FOLDER + name: name for name in names
        }

    @property
    def paths(self) -> frozenset[str]:
        """The addresses of the console: all may read them, before they have a token."""
        return frozenset(self._names)

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """One route for each file."""
        return [Route(path, self._serve, include_in_schema=False) for path in self._names]

    async def _serve(self, request: Request) -> Response:
        name = self._names[request.scope["path"]]
        file = self._read.get(name)
        if file is None:
            file = self._read[name] = await asyncio.to_thread(self._load, name)
        headers = {
            "ETag": file.tag,
            # Kept, but asked for each time: an upgraded server has an upgraded page.
            "Cache-Control": "no-cache",
            "Content-Security-Policy": self._policy,
        }
        if _matches(request.headers.get("if-none-match", ""), file.tag):
            return Response(status_code=304, headers=headers)
        # Not `media_type`, to which Starlette would add a charset of its own.
        headers["Content-Type"] = _KINDS[Path(name).suffix]
        return Response(file.content, headers=headers)

    def _load(self, name: str) -> _File:
        content = (STATIC / name).read_bytes()
        if name == _PAGE:
            content = content.replace(_PLACE, told(self._settings).encode())
        return _File(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def policy(issuer: str | None) -> str:
    """Return the Content-Security-Policy: scripts of ours alone, which speak to us alone.

    Args:
        issuer: where people sign in; its address may be spoken to as well.
    """
    connect = "'self'"
    if issuer is not None:
        parts = urlsplit(issuer)
        connect += f" {parts.scheme}://{parts.netloc}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def told(settings: Settings) -> str:
    """Return what the page is told as `<meta>` tags: nothing that a stranger may not know."""
    values = {
        "auth": "token" if settings.asks_for_tokens else "none",
        "issuer": settings.console_oidc_issuer,
        "client-id": settings.console_client_id,
        "scope": settings.console_scope if settings.console_oidc_issuer else None,
    }
    return "\n".join(
        f'<meta name="almenara-{name}" content="{escape(value)}">'
        for name, value in values.items()
        if value is not None
    )


def _matches(header: str, tag: str) -> bool:
    """Tell whether the client has this content already (RFC 9110, section 13.1.2)."""
    known = {one.strip().removeprefix("W/") for one in header.split(",")}
    return tag in known or "*" in known
