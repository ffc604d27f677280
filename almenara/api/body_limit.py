"""A limit on the size of request bodies, held while they are read; plain ASGI."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from almenara.api.body import UnreadableBodyError
from almenara.api.errors import problem


class BodyLimit:
    """Answers 413 to a body that is too large, before it is read whole.

    Args:
        largest: the largest body that is read, in bytes.
    """

    def __init__(self, app: ASGIApp, *, largest: int) -> None:
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._announced(scope) > self._largest:
            refusal = problem(413, "body_too_large", self._sentence())
            # The body stays unread, so the connection cannot be used again.
            refusal.headers["Connection"] = "close"
            await refusal(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._largest:
                raise UnreadableBodyError(413, "body_too_large", self._sentence())
            return message

        await self._app(scope, counted, send)

    def _announced(self, scope: Scope) -> int:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                return int(value[:20])
        return 0

    def _sentence(self) -> str:
        return f"The body is larger than {self._largest:,} bytes, the limit here."
