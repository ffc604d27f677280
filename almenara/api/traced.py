"""The trace of a request: its sender's context, and a span of our own while tracing is on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from almenara.tracing import Span, Spans, read_traceparent

NAME: Final = b"traceparent"

#: Where messages come in: the routes that have a span, by what stands in it for their paths.
_ROUTES: Final = {"/v1/messages": "/v1/messages", "/v1/messages/batch": "/v1/messages/batch"}
_TOPIC_PATH: Final = re.compile(r"/v1/topics/[^/]+/messages")
_TOPIC_ROUTE: Final = "/v1/topics/{name}/messages"
_LOCATION: Final = b"/v1/messages/"
#: From this status on, the server failed.
_FAILED: Final = 500


def sent_traceparent(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the context that a request came with; an invalid one, or several, are none."""
    found = [value for name, value in headers if name == NAME]
    return read_traceparent(found[0]) if len(found) == 1 else None


class Traced:
    """Gives each request that brings messages a span, behind the gate: strangers make none.

    Whatever reads the header after it finds the span's own context there, so that the message is
    stored with that one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        route = _route(scope)
        if route is None:
            await self._app(scope, receive, send)
            return
        spans: Spans = scope["app"].state.parts.spans
        sent = sent_traceparent(scope["headers"])
        attributes = {"http.request.method": "POST", "http.route": route}
        with spans.begin("accept", sent, attributes) as span:
            # One that is not recorded is in no trace: its sender's is what the attempts belong to.
            context = span.traceparent if span.recorded or sent is None else sent
            headers = [pair for pair in scope["headers"] if pair[0] != NAME]
            headers.append((NAME, context.encode()))
            await self._app({**scope, "headers": headers}, receive, _telling(span, send))


def _route(scope: Scope) -> str | None:
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    path = scope["path"]
    return _ROUTES.get(path) or (_TOPIC_ROUTE if _TOPIC_PATH.fullmatch(path) else None)


def _telling(span: Span, send: Send) -> Send:
    """Tell a span what the request is answered with."""

    async def telling(message: Message) -> None:
        if message["type"] == "http.response.start":
            status = message["status"]
            attributes: dict[str, str | int] = {"http.response.status_code": status}
            for name, value in message.get("headers", ()):
                if name == b"location" and value.startswith(_LOCATION):
                    attributes["almenara.message.id"] = value[len(_LOCATION) :].decode()
            span.tell(attributes, failed=status >= _FAILED)
        await send(message)

    return telling
