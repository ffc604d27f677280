"""One who listens: what waits for them, within bounds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

#: So many bytes may wait for one listener; who reads more slowly than that is dropped.
MOST_WAITING: Final = 8 * 1024 * 1024


class Listener:
    """Holds what was told and not fetched yet.

    Args:
        hang_up: ends the connection at once, whatever is being written; called once at the most.
    """

    def __init__(self, hang_up: Callable[[], None]) -> None:
        self._hang_up = hang_up
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._wake = asyncio.Event()
        self._ended = self._gone = False

    def tell(self, event: bytes) -> None:
        """Put an event on the list; a listener with too much on it is dropped instead."""
        if self._ended:
            return
        self._waiting.append(event)
        self._size += len(event)
        self._wake.set()
        if self._size > MOST_WAITING:
            self.drop()

    def end(self, event: bytes) -> None:
        """Tell a last event."""
        self.tell(event)
        self._ended = True

    def drop(self) -> None:
        """Forget what waits, and hang up."""
        if not self._gone:
            self.be_gone()
            self._hang_up()

    def be_gone(self) -> None:
        """Forget what waits; the connection has ended by itself."""
        self._ended = self._gone = True
        self._waiting.clear()
        self._wake.set()

    async def next(self, seconds: float) -> bytes | None:
        """Return all that waits, empty if nothing comes for so long; ``None``: that was all."""
        if not self._waiting and not self._ended:
            self._wake.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                return b""
        if not self._waiting:
            return None
        told = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        return told
