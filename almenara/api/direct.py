"""The short way of a plain message past the framework's machinery; plain ASGI.

Nearly every message is a small body of JSON with nothing wrong in it. It is read, checked and
answered here by what the documented route is made of: the same reader, model, scope, `accept()` and
answer. Whatever is out of the ordinary or to be refused before anything was stored goes on to that
route with its body, which alone knows how to say so; a test compares both, byte for byte.

Of FastAPI's route, four fifths are what it does for any route (`docs/explanation/benchmarks.md`).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from almenara.api.accepted import accept_body, accepted_out, accepting_headers, write_accepted
from almenara.api.body import UnreadableBodyError, read_json
from almenara.api.errors import answer_error
from almenara.api.gate import PRINCIPAL
from almenara.api.message_bodies import KEY_PATTERN, LONGEST_KEY, MessageIn
from almenara.api.parts import Parts
from almenara.api.traced import NAME as TRACEPARENT
from almenara.auth import Principal, Scope
from almenara.errors import AlmenaraError
from almenara.tracing import read_traceparent

_PATH: Final = "/v1/messages"
#: The largest body that is read at once, in bytes.
_SMALL: Final = 65_536
_ENCODINGS: Final = frozenset({b"content-encoding", b"transfer-encoding"})
_READ: Final = _ENCODINGS | {b"content-type", b"content-length", b"idempotency-key", TRACEPARENT}
_KEY: Final = re.compile(KEY_PATTERN.encode())
_STATUS: Final = 202


class _OtherWayError(Exception):
    """What came is for the documented route."""


class _Asked(NamedTuple):
    """A message that may be accepted, and who asks for it."""

    body: MessageIn
    sender: Principal
    key: str | None
    traceparent: str | None


class Direct:
    """Answers a plain `POST /v1/messages`; everything else goes on.

    Args:
        largest: the largest body that is taken at all, in bytes.
    """

    def __init__(self, app: ASGIApp, *, largest: int) -> None:
        self._app = app
        self._largest = min(largest, _SMALL)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if not (scope["type"] == "http" and scope["path"] == _PATH and scope["method"] == "POST"):
            await self._app(scope, receive, send)
            return
        read: list[Message] = []
        try:
            key, traceparent = _read_headers(scope, self._largest)
            body = _read_body(await _receive_whole(receive, read))
            asked = _Asked(body, _allowed(scope, body), key, traceparent)
        except (_OtherWayError, UnreadableBodyError, ValidationError, AlmenaraError):
            await self._app(scope, _again(read, receive), send)
            return
        await _answer(scope, receive, send, asked)


def _read_headers(scope: AsgiScope, largest: int) -> tuple[str | None, str | None]:
    """Return the idempotency key and the trace, where headers are as nearly everybody's."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _READ:
            if name in found:
                raise _OtherWayError
            found[name] = value
    length = found.get(b"content-length", b"")
    plain = (
        found.get(b"content-type") == b"application/json"
        and found.keys().isdisjoint(_ENCODINGS)
        and (length.isdigit() and int(length[:20]) <= largest)
    )
    if not plain or scope["query_string"] or scope["root_path"]:
        raise _OtherWayError
    key = found.get(b"idempotency-key")
    if key is not None and (len(key) > LONGEST_KEY or not _KEY.fullmatch(key)):
        raise _OtherWayError
    traceparent = read_traceparent(found.get(TRACEPARENT))
    return None if key is None else key.decode("ascii"), traceparent


async def _receive_whole(receive: Receive, read: list[Message]) -> bytes:
    """Return the body, and leave what was received, so that it can be received again."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        read.append(message)
        if message["type"] != "http.request":
            raise _OtherWayError
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _read_body(body: bytes) -> MessageIn:
    return MessageIn.model_validate(read_json(body))


def _allowed(scope: AsgiScope, body: MessageIn) -> Principal:
    sender: Principal = scope[PRINCIPAL]
    sender.require(Scope.SEND)
    sender.require_way(body.topic, body.channel)
    return sender


def _again(read: list[Message], receive: Receive) -> Receive:
    """Receive what was received already, then what comes."""
    left = iter(read)

    async def again() -> Message:
        for message in left:
            return message
        return await receive()

    return again


async def _answer(scope: AsgiScope, receive: Receive, send: Send, asked: _Asked) -> None:
    parts: Parts = scope["app"].state.parts
    body, sender, key, traceparent = asked
    try:
        answer = await accept_body(
            body, body.topic, parts, sender, channel=body.channel, key=key, traceparent=traceparent
        )
        content = write_accepted(await accepted_out(answer, parts))
    except AlmenaraError as error:
        response = await answer_error(Request(scope), error)
        await response(scope, receive, send)
        return
    headers = [
        (b"content-length", b"%d" % len(content)),
        (b"content-type", b"application/json"),
        *accepting_headers(answer),
    ]
    await send({"type": "http.response.start", "status": _STATUS, "headers": headers})
    await send({"type": "http.response.body", "body": content})
