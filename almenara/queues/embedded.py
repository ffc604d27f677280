"""The queue inside the server's own process: slots, the scan for what is due, the rescue.

What is accepted while a slot is free is born claimed and begins at once. Everything else is
pending, and fetched by the scan: per channel, round-robin, up to the free slots, which is also the
recovery from a crash.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from almenara.database import Database
from almenara.deliveries import NewDelivery
from almenara.dispatch import Dispatcher, Ready
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
from almenara.queues.attempts import Attempts
from almenara.queues.gates import Gates
from almenara.queues.paces import Paces
from almenara.queues.renewal import Renewal
from almenara.queues.rescue import Rescue
from almenara.queues.rest import LONGEST, Rest
from almenara.queues.slots import Slots, Turns
from almenara.queues.suspects import Suspects
from almenara.routing import ChannelRoute, Routing, Table
from almenara.telemetry import get_logger

log = get_logger("queue")

#: A bell waits so long for a slot while every one is taken, in seconds; another process may hear
#: the next one meanwhile.
_BELL_SECONDS = 0.5


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
        self.slots = Slots(sends, quick=self._paces.quick)
        self._turns = Turns()
        self._gates = Gates(routing)
        self._rest = Rest(ledger, alone=alone)
        self._attempts = Attempts(
            dispatcher,
            self._paces,
            freed=self.return_slot,
            ended=self._ended,
            look=self._rest.end,
        )
        self._leases = dispatcher.leases
        self._renewal = Renewal(database, self._leases)
        self._scanning: asyncio.Task[None] | None = None
        self._draining = False
        #: The channels that may have something due waiting for a slot.
        self._backlog: set[str] = set()
        self._rescue = Rescue(ledger=ledger, clock=clock, leases=self._leases)
        self._suspects = Suspects(database)

    def take_slot(self, channel: ChannelRoute) -> bool:
        """Take a slot that is free now; none while draining, none before an older delivery.

        None for a channel with a rate either: its tokens are taken by the claim.
        """
        takes = channel.enabled and not channel.paused and channel.rate is None
        waits = self._draining or self._suspects.hold or channel.name in self._backlog
        if waits or not takes:
            return False
        return self.slots.take(channel)

    def return_slot(self, channel: str) -> None:
        """Give a slot back, and let what waits have it."""
        helps_others = self.slots.give_back(channel)
        if channel in self._backlog or (helps_others and self._backlog):
            self._rest.end()

    def start_attempts(self, ready: Sequence[Ready]) -> None:
        """Begin attempts whose slots are taken already."""
        self._attempts.start(ready)

    def ring(self, channels: Iterable[str]) -> None:
        """Look for what is due now; a closed channel is looked at when it opens."""
        now = self._clock()
        opened = [one for one in channels if self._gates.is_open(one, now)]
        self._backlog.update(opened)
        if opened:
            self._rest.end()

    def ring_for(self, deliveries: Sequence[NewDelivery]) -> None:
        """Look for what is due now."""
        self.ring({delivery.channel for delivery in deliveries})

    async def hear(self, rung: Mapping[str, Sequence[UUID]]) -> None:
        """Claim the deliveries that another process's bell named, as far as slots are free.

        Args:
            rung: by channel the ids; none: look for whatever is due.
        """
        await self.slots.wait_for_one(_BELL_SECONDS)
        table = self._routing.table
        if not rung.keys() <= table.channels.keys():
            table = await self._routing.refresh()
        now = self._clock()
        if self._draining or self._suspects.hold:
            return
        shares: Counter[str] = Counter()
        for name, ids in rung.items():
            channel = table.channels.get(name)
            if channel is None or not channel.enabled or not self._gates.is_open(name, now):
                continue
            while shares[name] < len(ids) and self.slots.take(channel):
                shares[name] += 1
            if not ids or shares[name] < len(ids):
                self._backlog.add(name)
                self._rest.end()
        if shares:
            await self._claim(+shares, now, table.revision, rung=rung)

    async def start(self) -> None:
        """Take back what dead processes held, and begin to scan."""
        await self._rescue.all(orphans_only=not self._alone)
        self._renewal.start()
        self._scanning = asyncio.create_task(self._scan_forever(), name="due scan")

    async def drain(self, grace_seconds: float) -> None:
        """Claim nothing more, let attempts end within the grace, record the rest as unknown."""
        self._draining = True
        self._rest.end()
        if self._scanning is not None:
            await self._scanning
        await self._attempts.drain(grace_seconds)
        await self._renewal.stop()

    @property
    def trouble(self) -> str | None:
        """Nothing: there is nobody else."""
        return None

    @property
    def healthy(self) -> bool:
        """Whether the scan runs, and leases are renewed."""
        scanning = self._scanning is not None and not self._scanning.done()
        return scanning and self._renewal.healthy

    def _ended(self, delivery_id: UUID) -> None:
        self._suspects.ended(delivery_id)
        if self._suspects.hold:
            self._rest.end()

    async def _scan_forever(self) -> None:
        while not self._draining:
            seconds = LONGEST
            try:
                seconds = await self._scan()
                await self._rescue.now_and_then()
            except UnavailableError as error:
                log.warning("scan_postponed", reason=error.message)
                self._rescue.put_off()
            except Exception:
                log.exception("scan_failed")
                self._rescue.put_off()
            if not self._draining:
                await self._rest.take(seconds)

    async def _scan(self) -> float:
        """Claim and begin what is due, and return how long nothing more will be, in seconds."""
        self._rest.begin_look()
        self._backlog.clear()
        table = await self._routing.refresh()
        now = self._clock()
        await self._expire(now)
        if await self._claim_alone(table, now):
            return LONGEST
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
        shares = self.slots.share(channels)
        if shares:
            await self._claim(shares, now, table.revision)
        later = [moment for moment in next_due.values() if moment > now]
        later += self._gates.openings()
        return min([due.seconds_until(one, now) for one in later], default=math.inf)

    async def _claim(
        self,
        shares: dict[str, int],
        now: datetime,
        revision: int,
        *,
        suspects: bool = False,
        rung: Mapping[str, Sequence[UUID]] | None = None,
    ) -> UUID | None:
        """Claim up to the slots that were taken, begin what was claimed, return what was not.

        Returns:
            The first of what was claimed.
        """
        claimed = Claimed(())
        ready: list[Ready] = []
        try:
            oldest_first = not suspects and rung is None and self._turns.oldest_first()
            request = ClaimRequest(
                *(tuple(shares.items()), now, oldest_first, suspects, revision),
                lease=self._leases.length,
                rung=rung,
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
                    self.slots.give_back(channel)
        self.start_attempts(ready)
        if (ready and rung is None) or (await self._routing.refresh()).revision != revision:
            self._rest.end()
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
            alone = self.slots.taken_count == self._attempts.lingering_count
            if usable and alone and self.slots.take(usable[0]):
                self._suspects.began(
                    await self._claim({usable[0].name: 1}, now, table.revision, suspects=True)
                )
        return self._suspects.hold
