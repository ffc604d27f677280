"""What the HTTP library lets a server send without end: bounded here, where the bytes come in."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import BadHttpMessage

#: A server may say so often "go on" or "early hints" before it answers.
_MOST_HEADS = 32
#: So many bytes are read at once at the most: what is over the bound costs no more than these.
_PIECE_BYTES = 16_384


class BoundedHandler(ResponseHandler):
    """A connection that breaks off when one request is answered by heads without end.

    The library reads 1xx answers for as long as they come, thousands at once and without a pause
    between them: one such server would hold up the event loop for seconds and take memory without
    bound.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        super().__init__(loop)
        self._head_count = 0

    def set_response_params(self, **params: Any) -> None:
        """Begin to read the answer to one request."""
        self._head_count = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Read what has come, piece by piece, until the connection is broken off."""
        if len(data) <= _PIECE_BYTES:
            super().data_received(data)
            return
        for start in range(0, len(data), _PIECE_BYTES):
            if not self.is_connected():
                return
            super().data_received(data[start : start + _PIECE_BYTES])

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take the head of an answer, unless there were too many."""
        self._head_count += 1
        if self._head_count <= _MOST_HEADS:
            super().feed_data(data, size)
        elif self.transport is not None and not self.transport.is_closing():
            self.transport.abort()
            self.set_exception(BadHttpMessage("heads without end"))


def bound(connector: aiohttp.TCPConnector, loop: AbstractEventLoop) -> None:
    """Let every connection of this connector be bounded."""
    factory: Any = partial(BoundedHandler, loop=loop)
    connector._factory = factory  # noqa: SLF001 - the library has no other way to choose it
