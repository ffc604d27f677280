"""The queue inside the server's own process: slots, the scan for what is due, the rescue.

What is accepted while a slot is free is born claimed and begins at once. Everything else is
pending, and fetched by the scan: per channel, round-robin, up to the free slots, which is also the
recovery from a crash.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from almenara.database import Database, read_timestamp
from almenara.deliveries import Claim, Result, Status
from almenara.dispatch import Attempted, Dispatcher, Ready
from almenara.errors import UnavailableError
from almenara.ledger import (
    ClaimRequest,
    Ledger,
    RescueRequest,
    claim,
    expire_stale,
    rescue_orphans,
    return_claims,
)
from almenara.queues.slots import Slots, Turns
from almenara.routing import ChannelRoute, Routing
from almenara.telemetry import get_logger

log = get_logger("queue")

#: The scan looks at least so often, in seconds, whatever the bell says.
_LONGEST_SLEEP = 1.0
#: The rescue of what dead processes held runs so often, in seconds.
_RESCUE_EVERY = 5.0

#: At the end of a drain, what was abandoned gets so long to be recorded, in seconds.
_RECORDING_SECONDS = 5.0

_ANY_EXPIRED = """
SELECT id FROM delivery WHERE status = 'pending' AND expires_at <= $1 LIMIT 1
"""

#: When the next delivery of each channel and priority is due: one look into the partial index each.
_NEXT_DUE = """
SELECT * FROM (
    SELECT channel.name AS channel, (
        SELECT due_at FROM delivery
        WHERE delivery.status = 'pending' AND delivery.channel = channel.name
            AND delivery.priority = p.priority
        ORDER BY due_at LIMIT 1
    ) AS due_at
    FROM channel CROSS JOIN (
        SELECT 1 AS priority UNION ALL SELECT 2 UNION ALL SELECT 3
        UNION ALL SELECT 4 UNION ALL SELECT 5
    ) AS p
) AS next WHERE due_at IS NOT NULL
"""


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
        self._slots = Slots(sends)
        self._turns = Turns()
        self._wake = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()
        #: The deliveries whose attempts are under way here.
        self._in_flight: set[UUID] = set()
        self._scanning: asyncio.Task[None] | None = None
        self._draining = False
        #: The channels that may have something due waiting for a slot.
        self._backlog: set[str] = set()
        self._rescued_at = 0.0

    def take_slot(self, channel: ChannelRoute) -> bool:
        """Take a slot that is free now; none while draining, none before an older delivery."""
        if self._draining or not channel.enabled or channel.name in self._backlog:
            return False
        return self._slots.take(channel)

    def return_slot(self, channel: str) -> None:
        """Give a slot back, and let what waits have it."""
        was_full = self._slots.full
        self._slots.give_back(channel)
        if channel in self._backlog or (was_full and self._backlog):
            self._wake.set()

    def start_attempts(self, ready: Sequence[Ready]) -> None:
        """Begin attempts whose slots are taken already."""
        for one in ready:
            task = asyncio.create_task(self._attempt(one), name="attempt")
            self._attempts.add(task)
            self._in_flight.add(one.claim.delivery_id)
            task.add_done_callback(partial(self._ended, one.claim.delivery_id))

    def ring(self, channels: Iterable[str]) -> None:
        """Look for what is due now."""
        self._backlog.update(channels)
        self._wake.set()

    async def start(self) -> None:
        """Take back what dead processes held, and begin to scan."""
        await self._rescue(all_of_them=self._alone)
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

    @property
    def healthy(self) -> bool:
        """Whether the scan runs."""
        return self._scanning is not None and not self._scanning.done()

    async def _attempt(self, ready: Ready) -> None:
        """Make one attempt and record it; its slot is free as soon as the plugin has ended."""
        channel = ready.claim.channel
        attempted = Attempted(result=None)
        try:
            attempted = await self._dispatcher.attempt(ready)
        except Exception:
            # Nothing that a plugin did comes here: it is a mistake of ours. The lease ends, and the
            # rescue takes the delivery back.
            log.exception("attempt_broken", delivery_id=str(ready.claim.delivery_id))
        finally:
            if attempted.lingering is None:
                self.return_slot(channel)
            else:
                attempted.lingering.add_done_callback(lambda _: self.return_slot(channel))
        if attempted.result is not None:
            await self._record(attempted.result)

    async def _record(self, result: Result) -> None:
        try:
            await self._dispatcher.record(result)
        except Exception:
            # As above: the rescue writes what is known, which is nothing.
            log.exception("result_not_recorded", delivery_id=str(result.claim.delivery_id))
        if result.status is Status.PENDING:
            # It may be due before the scan would look again.
            self._wake.set()

    def _ended(self, delivery_id: UUID, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        self._in_flight.discard(delivery_id)

    async def _scan_forever(self) -> None:
        while not self._draining:
            sleep = _LONGEST_SLEEP
            try:
                sleep = await self._scan()
                await self._rescue_now_and_then()
            except UnavailableError as error:
                log.warning("scan_postponed", reason=error.message)
            except Exception:
                log.exception("scan_failed")
            if not self._draining:
                await self._sleep(sleep)

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
        next_due = await self._next_due()
        due = [
            channel
            for name, moment in next_due.items()
            if moment <= now and (channel := table.channels.get(name)) and channel.enabled
        ]
        # There may be more behind it than slots: the next scan, or a slot that is returned, tells.
        self._backlog.update(channel.name for channel in due)
        shares = self._slots.share(due)
        if shares:
            await self._claim(shares, now)
        later = [moment for moment in next_due.values() if moment > now]
        return _seconds_until(min(later), now) if later else _LONGEST_SLEEP

    async def _claim(self, shares: dict[str, int], now: datetime) -> None:
        """Claim up to the slots that were taken, begin what was claimed, return what was not."""
        claims: Sequence[Claim] = ()
        ready: list[Ready] = []
        try:
            request = ClaimRequest(tuple(shares.items()), now, self._turns.oldest_first())
            claims = await self._ledger.write(claim, request, urgent=True)
            ready = await self._dispatcher.read(claims)
        except Exception:
            if claims:
                await self._ledger.write(return_claims, claims, urgent=True)
            raise
        finally:
            for one in ready:
                shares[one.claim.channel] -= 1
            for channel, count in shares.items():
                for _ in range(count):
                    self._slots.give_back(channel)
        self.start_attempts(ready)
        if ready:
            self._wake.set()

    async def _expire(self, now: datetime) -> None:
        """Fail what waits and whose time is over; a write only when there is any."""
        if await self._database.fetch(_ANY_EXPIRED, now):
            count = await self._ledger.write(expire_stale, now, urgent=True)
            log.info("deliveries_expired", delivery_count=count)

    async def _next_due(self) -> dict[str, datetime]:
        """Return when each channel's next delivery is due."""
        moments: dict[str, datetime] = {}
        for row in await self._database.fetch(_NEXT_DUE):
            moment = read_timestamp(row["due_at"])
            known = moments.get(row["channel"])
            moments[row["channel"]] = moment if known is None else min(known, moment)
        return moments

    async def _rescue_now_and_then(self) -> None:
        # A result that is on its way is better than "unknown".
        if (
            time.monotonic() - self._rescued_at > _RESCUE_EVERY
            and not self._dispatcher.unrecorded_count
        ):
            await self._rescue(all_of_them=False)

    async def _rescue(self, *, all_of_them: bool) -> None:
        self._rescued_at = time.monotonic()
        # Not what is under way here, whatever a clock that jumped makes of its lease.
        request = RescueRequest(
            now=self._clock(), all_of_them=all_of_them, except_for=frozenset(self._in_flight)
        )
        for result in await self._ledger.write(rescue_orphans, request, urgent=True):
            log.warning(
                "delivery_rescued",
                delivery_id=str(result.claim.delivery_id),
                message_id=str(result.claim.message_id),
                attempt_number=result.claim.attempt_number,
                status=result.status.value,
            )


def _seconds_until(moment: datetime, now: datetime) -> float:
    """Return the sleep until a moment, not longer than the longest."""
    return min(max((moment - now) / timedelta(seconds=1), 0.0), _LONGEST_SLEEP)
