"""Connections of an event loop: what the asynchronous client speaks through."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from almenara.client.address import Address
from almenara.client.talking import explained, reached, tls_context
from almenara.client.wire import Exchange, Request, Response

if TYPE_CHECKING:
    from ssl import SSLContext

_PIECE_BYTES = 262_144

_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Streams:
    """Connections to one server, kept for the next request; they belong to one event loop."""

    def __init__(self, address: Address, context: SSLContext | None) -> None:
        self._address = address
        self._context = context
        self._idle: list[_Stream] = []

    async def exchange(self, request: Request, timeout_seconds: float) -> Response:
        """Send a request and return what came back.

        Raises:
            UnreachableError, NoAnswerError, StrangeAnswerError: there is none.
        """
        exchange = Exchange(self._address, request)
        end = asyncio.get_running_loop().time() + timeout_seconds
        stream = self._idle_one() or await self._connected(end)
        try:
            with explained(self._address.url, timeout_seconds, exchange):
                pause = None if request.take is None else timeout_seconds
                response = await _talk(stream, exchange, end, pause)
        except BaseException:
            stream[1].transport.abort()
            raise
        if exchange.can_go_on:
            self._idle.append(stream)
        else:
            stream[1].close()
        return response

    async def close(self) -> None:
        """Close what is open."""
        while self._idle:
            _, writer = self._idle.pop()
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:  # the server was first
                continue

    def _idle_one(self) -> _Stream | None:
        while self._idle:
            stream = self._idle.pop()
            reader, writer = stream
            if not (reader.at_eof() or writer.is_closing()):
                return stream
            writer.close()
        return None

    async def _connected(self, end: float) -> _Stream:
        address = self._address
        with reached(address.url):
            if address.secure and self._context is None:
                # It reads the system's certificates.
                self._context = await asyncio.to_thread(tls_context)
            async with asyncio.timeout_at(end):
                context = self._context if address.secure else None
                return await asyncio.open_connection(address.host, address.port, ssl=context)


async def _talk(
    stream: _Stream, exchange: Exchange, end: float, piece_seconds: float | None
) -> Response:
    """Send and read.

    Args:
        end: when the answer must be there, by the loop's clock.
        piece_seconds: for a file: how long each piece of it may take instead.
    """
    reader, writer = stream
    # All of it is in memory already, so nothing is won by waiting until it has gone.
    writer.write(exchange.sent)
    loop = asyncio.get_running_loop()
    response = None
    while response is None:
        when = end if piece_seconds is None else loop.time() + piece_seconds
        async with asyncio.timeout_at(when):
            data = await reader.read(_PIECE_BYTES)
        response = exchange.feed(data)
    return response
