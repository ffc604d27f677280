"""A limit on the size of request bodies, held while they are read; plain ASGI."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from almenara.api.attachment_bodies import LARGEST_BODY
from almenara.api.body import UnreadableBodyError
from almenara.api.errors import problem

#: Where messages come in, which may bring files.
_BRINGS_FILES: Final = re.compile(r"/v1/(topics/[^/]+/)?messages(/explain)?")
#: So many bodies that are larger than others may be are in memory at once.
_LARGE_AT_ONCE: Final = 4


class BodyLimit:
    """Answers 413 to a body that is too large, before it is read whole.

    Where messages come in, a body with files may be larger; of those only so many are read at once.

    Args:
        largest: the largest body without files, in bytes.
        large_at_once: how many with files are in memory together.
    """

    def __init__(self, app: ASGIApp, *, largest: int, large_at_once: int = _LARGE_AT_ONCE) -> None:
        self._app = app
        self._largest = largest
        self._left = large_at_once

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope)
        if _announced(scope) > limit:
            refusal = problem(413, "body_too_large", _sentence(limit))
            # The body stays unread, so the connection cannot be used again.
            refusal.headers["Connection"] = "close"
            await refusal(scope, receive, send)
            return
        read, large = 0, False

        async def counted() -> Message:
            nonlocal read, large
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise UnreadableBodyError(413, "body_too_large", _sentence(limit))
            if read > self._largest and not large:
                self._take_turn()
                large = True
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._left += large

    def _limit(self, scope: Scope) -> int:
        if scope["method"] == "POST" and _BRINGS_FILES.fullmatch(scope["path"]):
            return max(self._largest, LARGEST_BODY)
        return self._largest

    def _take_turn(self) -> None:
        if not self._left:
            raise UnreadableBodyError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "unavailable",
                "Too many large bodies come in just now; send it again in a moment.",
                headers={"Retry-After": "1"},
            )
        self._left -= 1


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


def _sentence(limit: int) -> str:
    return f"The body is larger than {limit:,} bytes, the limit here."
