"""Connections that block: what the synchronous client speaks through."""

from __future__ import annotations

import selectors
import socket
import weakref
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from almenara.client.address import Address
from almenara.client.talking import explained, reached, tls_context
from almenara.client.wire import Exchange, Request, Response

if TYPE_CHECKING:
    from ssl import SSLContext

_PIECE_BYTES = 262_144


class Sockets:
    """Connections to one server, kept for the next request; several threads may use them.

    Args:
        keep: whether a connection is kept at all.
    """

    def __init__(self, address: Address, context: SSLContext | None, *, keep: bool) -> None:
        self._address = address
        self._context = context
        self._keep = keep
        self._idle: list[socket.socket] = []
        # A client that is only forgotten leaves no connection open.
        self._end = weakref.finalize(self, _close, self._idle)

    def exchange(self, request: Request, timeout_seconds: float) -> Response:
        """Send a request and return what came back.

        Raises:
            UnreachableError, NoAnswerError, StrangeAnswerError: there is none.
        """
        exchange = Exchange(self._address, request)
        end = monotonic() + timeout_seconds
        connection = self._idle_one() or self._connected(timeout_seconds)
        try:
            with explained(self._address.url, timeout_seconds, exchange):
                # A file may take longer than an answer; each piece of it has the time of one.
                response = _talk(connection, exchange, end, None if request.take is None else end)
        except BaseException:
            connection.close()
            raise
        if self._keep and exchange.can_go_on:
            self._idle.append(connection)
        else:
            connection.close()
        return response

    def close(self) -> None:
        """Close what is open."""
        _close(self._idle)

    def _idle_one(self) -> socket.socket | None:
        while self._idle:
            connection = self._idle.pop()
            if not _can_be_read(connection):
                return connection
            connection.close()
        return None

    def _connected(self, timeout_seconds: float) -> socket.socket:
        address = self._address
        with reached(address.url):
            connection = socket.create_connection((address.host, address.port), timeout_seconds)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not address.secure:
                return connection
            if self._context is None:
                self._context = tls_context()
            try:
                return self._context.wrap_socket(connection, server_hostname=address.host)
            except BaseException:
                connection.close()
                raise


def _talk(
    connection: socket.socket, exchange: Exchange, end: float, piece: float | None
) -> Response:
    """Send and read.

    Args:
        end: when the answer must be there, by the monotonic clock.
        piece: the same for a file, of which only the next piece must come in time.
    """
    whole = end - monotonic()
    connection.settimeout(max(whole, 0.001))
    # It may have answered before all was sent: 413 for a large body.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(exchange.sent)
    response = None
    while response is None:
        left = whole if piece is not None else end - monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        response = exchange.feed(connection.recv(_PIECE_BYTES))
    return response


def _can_be_read(connection: socket.socket) -> bool:
    """Tell whether something came on an idle connection: that the server has closed it."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        return bool(selector.select(0))


def _close(connections: list[socket.socket]) -> None:
    while connections:
        connections.pop().close()
