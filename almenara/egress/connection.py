"""One HTTP/1.1 connection: writes a request, reads the answer up to a bound (RFC 9112).

The parser is llhttp, Node's own, by `httptools`. What a server may send without end is bounded
here, where the bytes come in: heads, interim answers, the body.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import cast

import httptools
from multidict import CIMultiDict

from almenara.egress.failures import (
    BROKEN_OFF,
    HALF_AN_ANSWER,
    NOT_HTTP,
    ExchangeError,
    reason_of,
)
from almenara.egress.response import HttpResponse

#: How much of an answer is read; the rest is never taken off the wire.
MOST_BODY_BYTES = 65_536
#: The heads of one answer are no longer than this together, interim ones included.
_MOST_HEAD_BYTES = 65_536
#: A server may say so often "go on" or "early hints" before it answers.
_MOST_HEADS = 32
#: What tells where a body ends; without either, the end of the connection does.
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class _EndlessHeadError(Exception):
    """A server goes on and on before it answers."""


class Connection(asyncio.Protocol):
    """A connection that is made; one exchange at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[HttpResponse] | None = None
        self._method = ""
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._body_bytes = self._head_bytes = self._header_bytes = self._head_count = 0
        self._in_body = self._framed = False
        #: Whether another request may follow.
        self.reusable = True

    async def exchange(self, method: str, request: bytes) -> HttpResponse:
        """Send a request, and return its answer; cancelled, the connection must be closed.

        Args:
            request: head and body as they go over the wire.

        Raises:
            ExchangeError: there was no full answer.
        """
        if self._transport is None or self._transport.is_closing():
            raise ExchangeError(BROKEN_OFF)
        self._method = method
        self._body_bytes = self._head_bytes = self._header_bytes = self._head_count = 0
        self._begin_head()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Hang up, at once."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    # The event loop calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Read on; whoever speaks unasked is hung up on."""
        if self._answer is None:
            self.close()
            return
        self._head_bytes += 0 if self._in_body else len(data)
        try:
            self._parser.feed_data(data)
            if not self._in_body:
                _check_head(self._head_bytes)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, _EndlessHeadError):
            # Also what is not HTTP/1.1 any more, and what the methods below refuse.
            self._fail(ExchangeError(NOT_HTTP))

    def connection_lost(self, error: Exception | None) -> None:
        """End what is under way."""
        self.reusable = False
        if self._answer is None:
            return
        if self._in_body and not self._framed and error is None:
            self._finish()
        else:
            broken = HALF_AN_ANSWER if self._in_body else BROKEN_OFF
            self._fail(ExchangeError(broken, reason_of(error)))

    # The parser calls these; what they raise comes out of it as its own error.

    def on_message_begin(self) -> None:
        """Begin with a head."""
        self._head_count += 1
        if self._answer is None or self._head_count > _MOST_HEADS:
            raise _EndlessHeadError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what follows a body is none."""
        if self._in_body:
            return
        self._header_bytes += len(name) + len(value)
        _check_head(self._header_bytes)
        if name.lower() in _FRAMING:
            self._framed = True
        self._headers.append((name.decode("latin-1"), value.decode("utf-8", "replace")))

    def on_headers_complete(self) -> None:
        """Look whether a body follows."""
        self._in_body = self._parser.get_status_code() >= HTTPStatus.OK
        if self._method == "HEAD" and self._in_body:
            # The parser would wait for the body that the head speaks of.
            self.reusable = False
            self._finish()

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body, and break off where it is too long."""
        if self._answer is None:
            return
        self._body.append(piece)
        self._body_bytes += len(piece)
        if self._body_bytes > MOST_BODY_BYTES:
            self._finish()
            self.close()

    def on_message_complete(self) -> None:
        """Hand the answer over, unless it was an interim one."""
        if not self._in_body:
            self._begin_head()
            return
        if self._answer is not None:
            # What is not yet sent belongs to a request that is answered already.
            sent = self._transport is not None and self._transport.get_write_buffer_size() == 0
            self.reusable = self.reusable and sent and self._parser.should_keep_alive()
            self._finish()

    def _begin_head(self) -> None:
        self._headers, self._body = [], []
        self._in_body = self._framed = False

    def _finish(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            body = b"".join(self._body)[:MOST_BODY_BYTES]
            status = self._parser.get_status_code()
            answer.set_result(HttpResponse(status, CIMultiDict(self._headers), body))

    def _fail(self, error: ExchangeError) -> None:
        answer, self._answer = self._answer, None
        self.close()
        if answer is not None and not answer.done():
            answer.set_exception(error)


def _check_head(byte_count: int) -> None:
    if byte_count > _MOST_HEAD_BYTES:
        raise _EndlessHeadError
