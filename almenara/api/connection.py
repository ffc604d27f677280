"""One client's connection: bounded in time, in size and in number.

uvicorn waits for ever for the rest of a request, and takes headers of any size; this is its
protocol for httptools with limits. What fits into one read, as nearly all do, costs no timer.
"""

from __future__ import annotations

import json
from asyncio import AbstractEventLoop, TimerHandle, Transport
from enum import Enum
from http import HTTPStatus
from typing import Any, NamedTuple, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from almenara.api.errors import problem_content
from almenara.api.headers import HEADERS

#: What is spoken here. HTTP/0.9 knows no status, and its answer no end but the connection's.
_VERSIONS = ("1.1", "1.0")
#: From its first byte, a request's header must be complete within so many seconds.
HEADER_SECONDS = 10.0
#: From the end of its header, its body.
BODY_SECONDS = 15.0
#: A header, and the lines of it.
LARGEST_HEADER, MOST_HEADERS = 65_536, 100
#: A request's address, and the query in it.
LONGEST_URL, LONGEST_QUERY = 8_192, 4_096

#: Where a request's ASGI scope has what hangs up at once, whatever is still to be written.
ABORT = "almenara.abort"

#: So many bytes of an answer are held back for what follows them, at the most.
_GATHERED = 65_536

_STATUS_LINES = {
    status: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class _Stage(Enum):
    """What of a request is awaited."""

    NOTHING = 0
    HEADER = 1
    BODY = 2


class _Refusal(NamedTuple):
    """What is answered by the connection itself."""

    status: HTTPStatus
    code: str
    sentence: str


_TOO_MANY = _Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, code="unavailable", sentence="Too many connections are open."
)
_TOO_SLOW = _Refusal(
    HTTPStatus.REQUEST_TIMEOUT,
    code="too_slow",
    sentence="The request did not come to its end in time.",
)
_URL_TOO_LONG = _Refusal(
    HTTPStatus.REQUEST_URI_TOO_LONG,
    code="url_too_long",
    sentence=f"An address has {LONGEST_URL:,} bytes at the most, its query {LONGEST_QUERY:,}.",
)
_HEADER_TOO_LARGE = _Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    code="header_too_large",
    sentence=f"A header has {LARGEST_HEADER:,} bytes at the most, and {MOST_HEADERS} lines.",
)
_UNREADABLE = _Refusal(
    HTTPStatus.BAD_REQUEST,
    code="bad_request",
    sentence="This is no HTTP request that can be read.",
)


class _Gathering:
    """A transport whose small writes of one turn of the event loop go out as one, after it.

    uvicorn writes the head of an answer and its body apart: two system calls and two packets, a
    twentieth of what accepting a message costs. After the turn, because the kernel takes the
    processor's caches for itself: when a batch is committed, its answers are made one after
    another, and then go out one after another. With a system call behind each, 0.84 as many
    messages were accepted, and 0.88 as many with a token, a key and two deliveries.
    """

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write, when this turn of the loop is over."""
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > _GATHERED:
            self.flush()

    def close(self) -> None:
        """Write what is left, then close."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Write nothing more, and close."""
        self._parts, self._size = [], 0
        self._transport.abort()

    def flush(self) -> None:
        """Write now what was held back, if there is still somebody to read it."""
        parts = self._parts
        if parts:
            self._parts, self._size = [], 0
            if not self._transport.is_closing():
                self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _RefusedError(Exception):
    """Ends the parsing; the parser makes an error of its own of it."""


class Connection(HttpToolsProtocol):
    """Answers by itself what is too slow, too large, or one too many; closes then."""

    #: So many may be open at once in this process; the server sets it.
    most_connections = 4_096

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stage = _Stage.NOTHING
        self._header_size = self._lines_size = 0
        self._writes: _Gathering
        self._timer: TimerHandle | None = None
        self._timed: _Stage = _Stage.NOTHING
        self._refusal: _Refusal | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Take a connection, unless there are too many; it may be idle as one that is kept may."""
        self._writes = _Gathering(transport, self.loop)
        super().connection_made(cast(Transport, self._writes))
        if len(self.connections) > self.most_connections:
            self._refuse(_TOO_MANY)
            return
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._unset_keepalive_if_required()
        self._unset_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; begin or end the time that the client has for what is still missing."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._stage is _Stage.HEADER:
            # A single line without an end is in nobody's hands before it ends.
            self._header_size += len(data)
            if self._header_size > LARGEST_HEADER:
                self._refuse(_HEADER_TOO_LARGE)
                return
        if self._stage is not self._timed:
            self._unset_timer()
            if self._stage is not _Stage.NOTHING and not self.transport.is_closing():
                seconds = HEADER_SECONDS if self._stage is _Stage.HEADER else BODY_SECONDS
                self._timer = self.loop.call_later(seconds, self._too_slow)
            self._timed = self._stage

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[ABORT] = self._writes.abort
        self._stage = _Stage.HEADER
        self._header_size = self._lines_size = 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        super().on_url(url)
        if len(self.url) > LONGEST_URL:
            self._stop_parsing(_URL_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a line of the header."""
        super().on_header(name, value)
        self._lines_size += len(name) + len(value)
        if len(self.headers) > MOST_HEADERS or self._lines_size > LARGEST_HEADER:
            self._stop_parsing(_HEADER_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        if self.parser.get_http_version() not in _VERSIONS:
            self._stop_parsing(_UNREADABLE)
        question = self.url.find(b"?")
        if question >= 0 and len(self.url) - question > LONGEST_QUERY:
            self._stop_parsing(_URL_TOO_LONG)
        self._stage = _Stage.BODY
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is here."""
        self._stage = _Stage.NOTHING
        super().on_message_complete()

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio's, unlike uvicorn's
        """Close when the client says no more, but not before it has heard what it asked for.

        Returns:
            Whether the connection is to stay open: the last request came whole, and its answer has
            not begun.
        """
        self._writes.flush()
        last: RequestResponseCycle | None = self.cycle
        if self._stage is not _Stage.NOTHING or last is None or last.response_started:
            return False
        last.keep_alive = False
        return True

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed, or what was refused while it was."""
        del msg  # uvicorn's own words
        self._refuse(self._refusal or _UNREADABLE)

    def _stop_parsing(self, refusal: _Refusal) -> None:
        self._refusal = refusal
        raise _RefusedError

    def _too_slow(self) -> None:
        self._refuse(_TOO_SLOW)

    def _unset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, refusal: _Refusal) -> None:
        """Answer, if nothing is being answered yet, and hang up."""
        self._unset_timer()
        last: RequestResponseCycle | None = self.cycle
        under_way = last if last and not last.response_complete else None
        answering = under_way is not None and under_way.response_started
        if not answering and not self.pipeline and not self.transport.is_closing():
            self.transport.write(_answer(refusal))
        if under_way is not None:
            # Whoever reads the rest of the body learns that there is none.
            under_way.disconnected = True
            under_way.message_event.set()
        self.transport.close()


def _answer(refusal: _Refusal) -> bytes:
    status, code, sentence = refusal
    body = json.dumps(problem_content(status.value, code, sentence)).encode()
    headers = HEADERS | {
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return _STATUS_LINES[status] + lines.encode() + b"\r\n" + body
