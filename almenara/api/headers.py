"""What every answer says to browsers, and which names the server answers to; plain ASGI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from almenara.api.errors import problem
from almenara.api.gate import OPEN

#: By OWASP's REST Security Cheat Sheet: nothing of this is to be shown in a frame, guessed at, or
#: kept by a cache.
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_RAW = tuple((name.lower().encode(), value.encode()) for name, value in HEADERS.items())


class SafeHeaders:
    """Adds those headers that an answer does not have itself.

    Args:
        hosts: the names that this server is asked for; a ``*.`` stands for any name below; empty:
            any. Without it, a page that lets its own name point at this server's address could
            have a visitor's browser speak to it.
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._names = frozenset(one.lower() for one in hosts if not one.startswith("*."))
        self._endings = tuple(one[1:].lower() for one in hosts if one.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                names = {name for name, _ in headers}
                headers += [pair for pair in _RAW if pair[0] not in names]
                message["headers"] = headers
            await send(message)

        if not (scope["path"] in OPEN or self._is_ours(scope)):
            sentence = (
                "This server is not asked for by this name; if it should be, name it in "
                "ALMENARA_ALLOWED_HOSTS."
            )
            await problem(421, "host_not_allowed", sentence)(scope, receive, safe)
            return
        await self._app(scope, receive, safe)

    def _is_ours(self, scope: Scope) -> bool:
        if not (self._names or self._endings):
            return True
        found = [value for name, value in scope["headers"] if name == b"host"]
        if len(found) != 1:
            return False
        name = host_name(found[0].decode("latin-1"))
        return name in self._names or name.endswith(self._endings or ("\0",))


def host_name(header: str) -> str:
    """Return the name in a `Host` header, without its port and the brackets of IPv6."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower().removesuffix(".")
