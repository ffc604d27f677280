"""Makes the drills of a process: what is due of the schedule, and what somebody asks for.

It runs where plugins run, so that a drill has the same environment as an attempt. Of several
processes, the one that claims a drill makes it; no connection is held meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import datetime
from functools import partial
from uuid import UUID

from almenara.database import Database, Transaction
from almenara.database.faults import Fault, classify
from almenara.dispatch import Verifier
from almenara.errors import UnavailableError
from almenara.ledger import Ledger
from almenara.limits import (
    DueDrill,
    LastDrill,
    ask_for_drill,
    claim_drills,
    find_due,
    read_drill,
    record_drill,
)
from almenara.models import Channel
from almenara.routing import ChannelRoute, Routing
from almenara.telemetry import get_logger
from almenara.trail import Action, Trace, leave

log = get_logger("drills")

#: One process makes so many drills at once.
_AT_ONCE = 4
#: What is due is looked for so often, in seconds; on SQLite whoever asks wakes this very process.
_LOOK_EVERY = {"postgres": 1.0, "sqlite": 5.0}
#: After a failure it is tried again then, in seconds.
_RETRY_AFTER = 5.0
#: Whoever asks looks so often whether the drill has ended, in seconds.
_WATCH_EVERY = 0.05
#: A drill that is asked for may wait so long until some process begins it, in seconds.
_PATIENCE = 5.0


class Driller:
    """Makes drills, or asks those processes for them that can."""

    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        routing: Routing,
        verifier: Verifier,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._routing = routing
        self._verifier = verifier
        self._clock = clock
        self._wake = asyncio.Event()
        self._closing = False
        self._looking: asyncio.Task[None] | None = None
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._abandon: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Begin to make the drills that are due; a process that does not send never does."""
        self._abandon = asyncio.get_running_loop().create_future()
        self._looking = asyncio.create_task(self._look_forever(self._abandon), name="drills")

    async def close(self) -> None:
        """Stop; a drill under way is left, and is due again when its claim has run out."""
        self._closing = True
        self._wake.set()
        if self._abandon is not None and not self._abandon.done():
            self._abandon.set_result(None)
        if self._looking is not None:
            await self._looking
        await asyncio.gather(*self._running.values())

    async def ask(self, channel: Channel, *, by: str | None = None) -> LastDrill:
        """Have a drill made now, whatever its schedule, and return what it came to.

        Args:
            by: whose wish it is, for the trail.

        Raises:
            NotFoundError: the channel was deleted meanwhile.
            UnavailableError: no process has made it in time.
        """
        before = await self._ledger.run(partial(self._ask, channel, by))
        self._wake.set()
        for _ in range(int((channel.timeout_seconds + _PATIENCE) / _WATCH_EVERY)):
            drill = await read_drill(self._database, channel.id)
            if drill.count > before:
                return drill
            await asyncio.sleep(_WATCH_EVERY)
        raise UnavailableError(
            "No process has made the drill in time: see that workers run, and ask again.",
            retry_after_seconds=5,
        )

    async def _ask(self, channel: Channel, by: str | None, transaction: Transaction) -> int:
        now = self._clock()
        count = await ask_for_drill(transaction, channel, now=now)
        await leave(transaction, Trace(Action.CHANNEL_VERIFIED, channel.name), by=by, at=now)
        return count

    async def _look_forever(self, abandon: asyncio.Future[None]) -> None:
        while not self._closing:
            self._wake.clear()
            pause = _LOOK_EVERY[self._database.dialect]
            try:
                await self._begin_due(abandon)
            except Exception as error:
                pause = _RETRY_AFTER
                if isinstance(error, UnavailableError) or classify(error) is Fault.UNAVAILABLE:
                    log.warning("drills_postponed", reason=str(error)[:200])
                else:
                    log.exception("drills_failed")
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _begin_due(self, abandon: asyncio.Future[None]) -> None:
        """Claim what is due, as far as there is room, and begin it."""
        room = _AT_ONCE - len(self._running)
        if room <= 0 or self._closing:
            return
        now = self._clock()
        due = [one for one in await find_due(self._database, now) if not self._is_busy(one)]
        if not due:
            return
        claims = await self._ledger.run(partial(claim_drills, due=due[:room], now=now))
        table = await self._routing.refresh()
        for claim in claims:
            channel = table.channels.get(claim.channel)
            if channel is not None:
                task = asyncio.create_task(self._drill(claim, channel, abandon), name="drill")
                self._running[claim.channel_id] = task

    def _is_busy(self, due: DueDrill) -> bool:
        return due.channel_id in self._running

    async def _drill(
        self, claim: DueDrill, channel: ChannelRoute, abandon: asyncio.Future[None]
    ) -> None:
        try:
            drilled = await self._verifier.verify(channel, abandon=abandon)
            if drilled is None:
                return
            record = partial(
                record_drill,
                claim=claim,
                drilled=drilled,
                revision=channel.revision,
                now=self._clock(),
                spread=random.uniform(-1, 1),  # noqa: S311 - jitter, not a secret
            )
            await self._ledger.run(record)
            log.info("drill_made", channel=channel.name, outcome=drilled.outcome.value)
        except UnavailableError as error:
            # It is due again when its claim has run out.
            log.warning("drill_not_recorded", channel=channel.name, reason=error.message)
        except Exception:
            log.exception("drill_not_recorded", channel=channel.name)
        finally:
            self._running.pop(claim.channel_id, None)
            self._wake.set()
