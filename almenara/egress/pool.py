"""The connections of one event loop: kept for the next request, and never too many."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from almenara.egress.connection import Connection
from almenara.egress.failures import BROKEN_OFF, ExchangeError
from almenara.egress.target import Place

_MOST_IN_USE = 256
_MOST_OF_ONE_PLACE = 64
#: So many idle ones are kept, over all places.
_MOST_IDLE = 256
#: An idle one is kept so long, in seconds: shorter than servers keep theirs.
_IDLE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Borrowed:
    """A connection for one request."""

    connection: Connection
    #: It has served before, and the server may just be closing it.
    used_before: bool


class Pool:
    """Lends connections, at most 64 to one place and 256 in all; who comes later waits."""

    def __init__(self, dial: Callable[[Place], Awaitable[Connection]]) -> None:
        """Begin without any.

        Args:
            dial: makes a connection.
        """
        self._dial = dial
        self._loop = asyncio.get_running_loop()
        self._lent: Counter[Place] = Counter()
        self._lent_count = 0
        self._connections: set[Connection] = set()
        #: The idle ones, the one that was used last at the end, each with when that was.
        self._idle: dict[Place, deque[tuple[Connection, float]]] = {}
        self._waiting: deque[tuple[Place, asyncio.Future[None]]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def borrow(self, place: Place, *, new: bool = False) -> Borrowed:
        """Lend a connection, which must be given back.

        Args:
            new: one that has not served before.

        Raises:
            ExchangeError, AddressRefusedError: there is none to be had.
        """
        if not self._may_lend(place):
            await self._wait(place)
        else:
            self._count(place, 1)
        try:
            kept = None if new else self._kept(place)
            if kept is not None:
                return Borrowed(kept, used_before=True)
            connection = await self._new(place)
        except BaseException:
            self._leave(place)
            raise
        return Borrowed(connection, used_before=False)

    def give_back(self, place: Place, connection: Connection) -> None:
        """Take a connection back, and keep it if another request may follow."""
        if connection.reusable and not self._closed:
            self._keep(place, connection)
        else:
            self._drop(connection)
        self._leave(place)

    def close(self) -> None:
        """Hang up everywhere; requests under way fail."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._connections):
            self._drop(connection)
        self._idle.clear()
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(ExchangeError(BROKEN_OFF))
        self._waiting.clear()

    async def _new(self, place: Place) -> Connection:
        connection = await self._dial(place)
        if self._closed:
            connection.close()
            raise ExchangeError(BROKEN_OFF)
        self._connections.add(connection)
        return connection

    def _may_lend(self, place: Place) -> bool:
        return self._lent_count < _MOST_IN_USE and self._lent[place] < _MOST_OF_ONE_PLACE

    def _count(self, place: Place, change: int) -> None:
        self._lent[place] += change
        self._lent_count += change
        if not self._lent[place]:
            del self._lent[place]

    async def _wait(self, place: Place) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((place, future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                # It was this one's turn just now: the next one's, then.
                self._leave(place)
            raise

    def _leave(self, place: Place) -> None:
        """Count one less, and let the first who can use that go on."""
        self._count(place, -1)
        for waiting in self._waiting:
            if not waiting[1].done() and self._may_lend(waiting[0]):
                self._waiting.remove(waiting)
                self._count(waiting[0], 1)
                waiting[1].set_result(None)
                return
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()

    def _kept(self, place: Place) -> Connection | None:
        line = self._idle.get(place)
        while line:
            connection, since = line.pop()
            if connection.reusable and self._loop.time() - since < _IDLE_SECONDS:
                return connection
            self._drop(connection)
        return None

    def _keep(self, place: Place, connection: Connection) -> None:
        if len(self._connections) - self._lent_count >= _MOST_IDLE:
            self._drop(connection)
            return
        self._idle.setdefault(place, deque()).append((connection, self._loop.time()))
        if self._sweep is None:
            self._sweep = self._loop.call_later(_IDLE_SECONDS, self._close_idle)

    def _close_idle(self) -> None:
        """Hang up where nothing was asked for long."""
        self._sweep = None
        since = self._loop.time() - _IDLE_SECONDS
        for place, line in list(self._idle.items()):
            while line and (line[0][1] <= since or not line[0][0].reusable):
                self._drop(line.popleft()[0])
            if not line:
                del self._idle[place]
        if self._idle:
            self._sweep = self._loop.call_later(_IDLE_SECONDS, self._close_idle)

    def _drop(self, connection: Connection) -> None:
        self._connections.discard(connection)
        connection.close()
