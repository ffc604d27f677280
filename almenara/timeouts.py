"""One timer for many waits that are equally long."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any


class Timeouts:
    """Ends waits for futures after the same time; whoever began to wait first is the first to end.

    ``asyncio.timeout`` is the way for one wait. It makes a timer for each, which nearly always is
    only cancelled, and took a thirtieth of accepting a message with a key.

    Args:
        seconds: how long each may be waited for.
        error: makes what the waiter gets then.
    """

    def __init__(self, seconds: float, error: Callable[[], Exception]) -> None:
        self._seconds = seconds
        self._error = error
        self._line: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, future: asyncio.Future[Any]) -> None:
        """End a wait for this future, if it is not done by then."""
        line = self._line
        while line and line[0][1].done():
            line.popleft()
        loop = future.get_loop()
        until = loop.time() + self._seconds
        line.append((until, future))
        if self._timer is None:
            self._timer = loop.call_at(until, self._end, loop)

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what is due; look again when the next one is."""
        line, now = self._line, loop.time()
        self._timer = None
        while line:
            until, future = line[0]
            if not future.done():
                if until > now:
                    self._timer = loop.call_at(until, self._end, loop)
                    break
                future.set_exception(self._error())
            line.popleft()
