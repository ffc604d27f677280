"""The attempts under way in one process: begun, recorded, their slots given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from almenara.deliveries import Claim, Result, Status
from almenara.dispatch import Attempted, Dispatcher, Ready
from almenara.queues.paces import Paces
from almenara.telemetry import get_logger

log = get_logger("queue")

#: At the end of a drain, what was abandoned gets so long to be recorded, in seconds.
_RECORDING_SECONDS = 5.0


class Attempts:
    """Makes attempts on the event loop, each in a task of its own."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        paces: Paces,
        *,
        freed: Callable[[str], None],
        ended: Callable[[UUID], None],
        look: Callable[[], None],
    ) -> None:
        """Wire it.

        Args:
            freed: told the channel of each slot that is free again.
            ended: told each delivery whose attempt has ended and is recorded.
            look: called when something may be due that was not before.
        """
        self._dispatcher = dispatcher
        self._leases = dispatcher.leases
        self._paces = paces
        self._freed = freed
        self._told_end = ended
        self._look = look
        self._tasks: set[asyncio.Task[None]] = set()
        #: Slots that threads keep which run on in spite of their deadline.
        self.lingering_count = 0

    @property
    def count(self) -> int:
        """How many are under way."""
        return len(self._tasks)

    def start(self, ready: Sequence[Ready]) -> None:
        """Begin attempts whose slots are taken already."""
        for one in ready:
            task = asyncio.create_task(self._attempt(one), name="attempt")
            self._tasks.add(task)
            self._leases.hold(one.claim)
            task.add_done_callback(partial(self._ended, one.claim))

    async def drain(self, grace_seconds: float) -> None:
        """Let attempts end within the grace, and record the rest as of unknown outcome."""
        if self._tasks:
            log.info("draining", attempt_count=self.count, grace_seconds=grace_seconds)
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        self._dispatcher.abandon()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_RECORDING_SECONDS)
        for task in self._tasks:
            # The database takes nothing: the next start records these as unknown.
            task.cancel()

    async def _attempt(self, ready: Ready) -> None:
        """Make one attempt and record it; its slot is free as soon as the plugin has ended."""
        channel = ready.claim.channel
        attempted = Attempted(result=None)
        pace = self._paces.begin(channel)
        try:
            attempted = await self._dispatcher.attempt(ready)
        except Exception:
            # Nothing that a plugin did comes here: it is a mistake of ours. The lease ends, and the
            # rescue takes the delivery back.
            log.exception("attempt_broken", delivery_id=str(ready.claim.delivery_id))
        finally:
            self._paces.end(channel, pace)
            if attempted.lingering is None:
                self._freed(channel)
            else:
                self.lingering_count += 1
                attempted.lingering.add_done_callback(partial(self._lingered, channel))
        if attempted.result is not None:
            await self._record(attempted.result, ready.message.topic)

    async def _record(self, result: Result, topic: str | None) -> None:
        try:
            await self._dispatcher.record(result, topic=topic)
        except Exception:
            # As above: the rescue writes what is known, which is nothing.
            log.exception("result_not_recorded", delivery_id=str(result.claim.delivery_id))
        if result.status is not Status.SENT:
            # It, or the next one of its chain, may be due before the scan would look again.
            self._look()

    def _ended(self, claim: Claim, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._leases.let_go(claim)
        self._told_end(claim.delivery_id)

    def _lingered(self, channel: str, _: asyncio.Future[Any]) -> None:
        self.lingering_count -= 1
        self._freed(channel)
