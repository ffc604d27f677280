"""The queue of a process that only receives: it rings for others, and never sends.

The bell is rung after the commit, off the event loop, for all that came since the last time. What
it could not be rung for is not kept: each worker looks by itself for what is due, a second later at
the most. So a broker that is away costs neither an accepted message nor memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Protocol
from uuid import UUID

from almenara.deliveries import NewDelivery
from almenara.dispatch import Ready
from almenara.errors import UnavailableError
from almenara.routing import ChannelRoute
from almenara.telemetry import get_logger

log = get_logger("relay")

#: By channel, the deliveries that wait; none: look for whatever is due.
Rung = Mapping[str, Sequence[UUID]]

#: So many deliveries go with one ring at the most: more than one worker shall hear of many.
LARGEST_RING = 100
#: Between two rings what comes is collected, in seconds; the first after a pause goes at once.
_COLLECT_SECONDS = 0.02
#: So many deliveries may wait to be rung for; beyond, workers find them by themselves.
_LARGEST_WAITING = 20_000
#: When nothing is rung the broker is asked so often whether it is there, in seconds.
_PROBE_SECONDS = 5.0
#: After a failure the next try is so far away; then twice as far, and so on, in seconds.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 15.0
#: Messages of this priority and the more urgent ones (1) go by a line of their own.
_LEAST_URGENT = 2


class Bell(Protocol):
    """Rings workers in other processes; called in one thread, blocking, never for long."""

    def ring(self, rung: Rung, *, urgent: bool) -> None:
        """Tell some worker, and return when the broker has it.

        Raises:
            UnavailableError: the broker does not take it; its message says what is wrong.
        """
        ...

    def probe(self) -> None:
        """Find out whether the broker is there.

        Raises:
            UnavailableError: as above.
        """
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class _Waiting:
    """What is to be rung for."""

    def __init__(self) -> None:
        self._lines: dict[bool, dict[str, list[UUID]]] = {True: {}, False: {}}
        self._count = 0

    def __bool__(self) -> bool:
        return any(self._lines.values())

    def add(self, channel: str, delivery_id: UUID | None = None, *, urgent: bool = False) -> None:
        """Add a delivery, or a channel of which something may be due."""
        ids = self._lines[urgent].setdefault(channel, [])
        if delivery_id is not None and self._count < _LARGEST_WAITING:
            ids.append(delivery_id)
            self._count += 1

    def take(self) -> tuple[Rung, bool]:
        """Take as much as one ring holds, the urgent first."""
        urgent = bool(self._lines[True])
        line = self._lines[urgent]
        rung: dict[str, list[UUID]] = {}
        left = LARGEST_RING
        while line and left:
            channel, ids = next(iter(line.items()))
            rung[channel] = ids[:left]
            left -= len(rung[channel])
            if len(rung[channel]) == len(ids):
                del line[channel]
            else:
                line[channel] = ids[len(rung[channel]) :]
        self._count -= LARGEST_RING - left
        return rung, urgent

    def clear(self) -> None:
        """Forget everything."""
        self._lines = {True: {}, False: {}}
        self._count = 0


class RelayQueue:
    """Rings workers for what was accepted here."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._waiting = _Waiting()
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        # The bell's connection belongs to one thread.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="relay")
        #: What is wrong with the broker; ``None``: nothing that is known.
        self._trouble: str | None = None
        self._pause = _FIRST_PAUSE

    def take_slot(self, channel: ChannelRoute) -> bool:
        """Give none: this process sends nothing."""
        return False

    def return_slot(self, channel: str) -> None:
        """Do nothing: no slot was ever given."""

    def start_attempts(self, ready: Sequence[Ready]) -> None:
        """Do nothing: nothing is born claimed."""

    def ring(self, channels: Iterable[str]) -> None:
        """Let a worker look for what is due of these channels."""
        for channel in channels:
            self._waiting.add(channel)
        self._wake.set()

    def ring_for(self, deliveries: Sequence[NewDelivery]) -> None:
        """Let workers send these; what is not due yet, they find when it is."""
        for one in deliveries:
            if one.due_at <= one.created_at:
                self._waiting.add(one.channel, one.id, urgent=one.priority <= _LEAST_URGENT)
        if self._waiting:
            self._wake.set()

    async def start(self) -> None:
        """Begin to ring; the broker may be away."""
        self._task = asyncio.create_task(self._ring_forever(), name="relay")

    async def drain(self, grace_seconds: float) -> None:
        """Ring for what waits, and hang up."""
        if self._stopping:
            return
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._bell.close)
        self._thread.shutdown(wait=False)

    @property
    def healthy(self) -> bool:
        """Whether it rings, or tries to."""
        return self._task is not None and not self._task.done()

    @property
    def trouble(self) -> str | None:
        """What is wrong with the broker, and what that costs."""
        if self._trouble is None:
            return None
        return f"{self._trouble} Until then, workers look for what is due every second."

    async def _ring_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping or (self._waiting and self._trouble is None):
            began = time.monotonic()
            try:
                await loop.run_in_executor(self._thread, self._next_step())
            except UnavailableError as error:
                self._failed(error)
                await self._sleep(self._pause)
                # Workers found it meanwhile, or will: nothing is saved up for a flood.
                self._waiting.clear()
            except Exception:
                log.exception("relay_failed")
                await self._sleep(self._pause)
            else:
                self._worked()
                if not self._waiting:
                    self._wake.clear()
                    await self._sleep(_PROBE_SECONDS)
                await asyncio.sleep(max(0.0, began + _COLLECT_SECONDS - time.monotonic()))

    def _next_step(self) -> Callable[[], None]:
        """Return what is to be done in the thread: ring, or see whether the broker is there."""
        if self._trouble is not None:
            # A broker whose alarm is on answers everything but this.
            return partial(self._bell.ring, {}, urgent=False)
        if self._waiting:
            rung, urgent = self._waiting.take()
            return partial(self._bell.ring, rung, urgent=urgent)
        return self._bell.probe

    def _failed(self, error: UnavailableError) -> None:
        if self._trouble != error.message:
            log.warning("broker_unavailable", reason=error.message)
            self._trouble = error.message
        else:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _worked(self) -> None:
        if self._trouble is not None:
            log.info("broker_available")
        self._trouble, self._pause = None, _FIRST_PAUSE

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the end; in good times, not beyond the next ring either."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._stopping:
                    await self._wake.wait()
                    if self._trouble is None:
                        return
                    self._wake.clear()
