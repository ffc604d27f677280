"""The queue inside the server's own process: slots, the scan for what is due, the rescue.

What is accepted while a slot is free is born claimed and begins at once. Everything else is
pending, and fetched by the scan: per channel, round-robin, up to the free slots, which is also the
recovery from a crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from almenara.database import Database
from almenara.deliveries import Claim, Result, Status
from almenara.dispatch import Attempted, Dispatcher, Ready
from almenara.errors import UnavailableError
from almenara.ledger import (
    Claimed,
    ClaimRequest,
    Ledger,
    claim,
    expire_stale,
    return_claims,
)
from almenara.queues import due
from almenara.queues.gates import Gates
from almenara.queues.paces import Paces
from almenara.queues.renewal import Renewal
from almenara.queues.rescue import Rescue
from almenara.queues.slots import Slots, Turns
from almenara.queues.suspects import Suspects
from almenara.routing import ChannelRoute, Routing, Table
from almenara.telemetry import get_logger

log = get_logger("queue")

#: The scan looks at least so often, in seconds, whatever the bell says.
_LONGEST_SLEEP = 1.0
#: At the end of a drain, what was abandoned gets so long to be recorded, in seconds.
_RECORDING_SECONDS = 5.0


class EmbeddedQueue:
    """Makes attempts on the event loop of this process."""

    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        routing: Routing,
        dispatcher: Dispatcher,
        clock: Callable[[], datetime],
        sends: int,
        alone: bool,
    ) -> None:
        """Wire the queue.

        Args:
            sends: attempts at once.
            alone: no other process can hold claims, so that all may be taken back at the start.
        """
        self._database = database
        self._ledger = ledger
        self._routing = routing
        self._dispatcher = dispatcher
        self._clock = clock
        self._alone = alone
        self._paces = Paces()
        self._slots = Slots(sends, quick=self._paces.quick)
        self._turns = Turns()
        self._gates = Gates(routing)
        self._wake = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()
        self._leases = dispatcher.leases
        self._renewal = Renewal(database, self._leases)
        self._scanning: asyncio.Task[None] | None = None
        self._draining = False
        #: The channels that may have something due waiting for a slot.
        self._backlog: set[str] = set()
        self._rescue = Rescue(ledger=ledger, clock=clock, leases=self._leases)
        self._suspects = Suspects(database)
        #: Slots that threads keep which run on in spite of their deadline.
        self._lingering_count = 0

    def take_slot(self, channel: ChannelRoute) -> bool:
        """Take a slot that is free now; none while draining, none before an older delivery.

        None for a channel with a rate either: its tokens are taken by the claim.
        """
        takes = channel.enabled and not channel.paused and channel.rate is None
        waits = self._draining or self._suspects.hold or channel.name in self._backlog
        if waits or not takes:
            return False
        return self._slots.take(channel)

    def return_slot(self, channel: str) -> None:
        """Give a slot back, and let what waits have it."""
        helps_others = self._slots.give_back(channel)
        if channel in self._backlog or (helps_others and self._backlog):
            self._wake.set()

    def start_attempts(self, ready: Sequence[Ready]) -> None:
        """Begin attempts whose slots are taken already."""
        for one in ready:
            task = asyncio.create_task(self._attempt(one), name="attempt")
            self._attempts.add(task)
            self._leases.hold(one.claim)
            task.add_done_callback(partial(self._ended, one.claim))

    def ring(self, channels: Iterable[str]) -> None:
        """Look for what is due now; a closed channel is looked at when it opens."""
        now = self._clock()
        opened = [one for one in channels if self._gates.is_open(one, now)]
        self._backlog.update(opened)
        if opened:
            self._wake.set()

    async def start(self) -> None:
        """Take back what dead processes held, and begin to scan."""
        await self._rescue.all(orphans_only=not self._alone)
        self._renewal.start()
        self._scanning = asyncio.create_task(self._scan_forever(), name="due scan")

    async def drain(self, grace_seconds: float) -> None:
        """Claim nothing more, let attempts end within the grace, record the rest as unknown."""
        self._draining = True
        self._wake.set()
        if self._scanning is not None:
            await self._scanning
        if self._attempts:
            log.info("draining", attempt_count=len(self._attempts), grace_seconds=grace_seconds)
            await asyncio.wait(self._attempts, timeout=grace_seconds)
        self._dispatcher.abandon()
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=_RECORDING_SECONDS)
        for attempt in self._attempts:
            # The database takes nothing: the next start records these as unknown.
            attempt.cancel()
        await self._renewal.stop()

    @property
    def healthy(self) -> bool:
        """Whether the scan runs, and leases are renewed."""
        scanning = self._scanning is not None and not self._scanning.done()
        return scanning and self._renewal.healthy

    async def _attempt(self, ready: Ready) -> None:
        """Make one attempt and record it; its slot is free as soon as the plugin has ended."""
        channel = ready.claim.channel
        attempted = Attempted(result=None)
        try:
            with self._paces.attempt(channel):
                attempted = await self._dispatcher.attempt(ready)
        except Exception:
            # Nothing that a plugin did comes here: it is a mistake of ours. The lease ends, and the
            # rescue takes the delivery back.
            log.exception("attempt_broken", delivery_id=str(ready.claim.delivery_id))
        finally:
            if attempted.lingering is None:
                self.return_slot(channel)
            else:
                self._lingering_count += 1
                attempted.lingering.add_done_callback(partial(self._lingered, channel))
        if attempted.result is not None:
            await self._record(attempted.result)

    async def _record(self, result: Result) -> None:
        try:
            await self._dispatcher.record(result)
        except Exception:
            # As above: the rescue writes what is known, which is nothing.
            log.exception("result_not_recorded", delivery_id=str(result.claim.delivery_id))
        if result.status is not Status.SENT:
            # It, or the next one of its chain, may be due before the scan would look again.
            self._wake.set()

    def _ended(self, claim: Claim, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        self._leases.let_go(claim)
        self._suspects.ended(claim.delivery_id)
        if self._suspects.hold:
            self._wake.set()

    def _lingered(self, channel: str, _: asyncio.Future[Any]) -> None:
        self._lingering_count -= 1
        self.return_slot(channel)

    async def _scan_forever(self) -> None:
        while not self._draining:
            sleep = _LONGEST_SLEEP
            try:
                sleep = await self._scan()
                await self._rescue.now_and_then()
            except UnavailableError as error:
                log.warning("scan_postponed", reason=error.message)
                self._rescue.put_off()
            except Exception:
                log.exception("scan_failed")
                self._rescue.put_off()
            if not self._draining:
                await self._sleep(min(sleep, _LONGEST_SLEEP))

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _scan(self) -> float:
        """Claim and begin what is due, and return how long nothing more will be, in seconds."""
        self._wake.clear()
        self._backlog.clear()
        table = await self._routing.refresh()
        now = self._clock()
        await self._expire(now)
        if await self._claim_alone(table, now):
            return _LONGEST_SLEEP
        next_due = await due.next_due(self._database)
        channels = [
            channel
            for name, moment in next_due.items()
            if moment <= now
            and (channel := table.channels.get(name))
            and channel.enabled
            and self._gates.is_open(name, now)
        ]
        # There may be more behind it than slots: the next scan, or a slot that is returned, tells.
        self._backlog.update(channel.name for channel in channels)
        shares = self._slots.share(channels)
        if shares:
            await self._claim(shares, now, table.revision)
        later = [moment for moment in next_due.values() if moment > now]
        later += self._gates.openings()
        return min([due.seconds_until(one, now) for one in later], default=_LONGEST_SLEEP)

    async def _claim(
        self, shares: dict[str, int], now: datetime, revision: int, *, suspects: bool = False
    ) -> UUID | None:
        """Claim up to the slots that were taken, begin what was claimed, return what was not.

        Returns:
            The first of what was claimed.
        """
        claimed = Claimed(())
        ready: list[Ready] = []
        try:
            oldest_first = not suspects and self._turns.oldest_first()
            request = ClaimRequest(
                tuple(shares.items()), now, oldest_first, suspects, revision, self._leases.length
            )
            claimed = await self._ledger.write(claim, request, urgent=True)
            self._gates.close(claimed.closed, now)
            ready = await self._dispatcher.read(claimed.claims)
        except Exception:
            if claimed.claims:
                await self._ledger.write(return_claims, claimed.claims, urgent=True)
            raise
        finally:
            for one in ready:
                shares[one.claim.channel] -= 1
            for channel, count in shares.items():
                for _ in range(count):
                    self._slots.give_back(channel)
        self.start_attempts(ready)
        if ready or (await self._routing.refresh()).revision != revision:
            self._wake.set()
        return ready[0].claim.delivery_id if ready else None

    async def _expire(self, now: datetime) -> None:
        """Fail what waits and whose time is over; a write only when there is any."""
        if await due.any_expired(self._database, now):
            count = await self._ledger.write(expire_stale, now, urgent=True)
            log.info("deliveries_expired", delivery_count=count)

    async def _claim_alone(self, table: Table, now: datetime) -> bool:
        """Try what may have been the death of processes, once nothing else is in flight.

        Returns:
            Whether this process is to begin nothing else now.
        """
        if not self._suspects.trying:
            names = await self._suspects.due(now)
            usable = [
                one
                for one in table.channels.values()
                if one.name in names and one.enabled and self._gates.is_open(one.name, now)
            ]
            self._suspects.hold = bool(usable)
            alone = self._slots.taken_count == self._lingering_count
            if usable and alone and self._slots.take(usable[0]):
                self._suspects.began(
                    await self._claim({usable[0].name: 1}, now, table.revision, suspects=True)
                )
        return self._suspects.hold
