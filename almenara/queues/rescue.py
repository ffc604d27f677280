"""Taking back what dead processes held, now and then, and all of it at a start."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from almenara import figures
from almenara.dispatch import Leases
from almenara.ledger import Ledger, RescueRequest, rescue_orphans
from almenara.telemetry import get_logger

log = get_logger("queue")

#: It runs at least so often, in seconds.
_EVERY = 5.0


class Rescue:
    """Takes deliveries back whose lease has ended."""

    def __init__(self, *, ledger: Ledger, clock: Callable[[], datetime], leases: Leases) -> None:
        """Wire it.

        Args:
            leases: what is under way in this process, which is never rescued, whatever a clock that
                jumped makes of its lease; and how long a lease is.
        """
        self._ledger = ledger
        self._clock = clock
        self._leases = leases
        self._every = min(_EVERY, leases.margin)
        self._done_at = 0.0

    async def now_and_then(self) -> None:
        """Take back what has no lease any more, if it is time."""
        if time.monotonic() - self._done_at > self._every:
            await self.all(orphans_only=True)

    def put_off(self) -> None:
        """Wait: the database was away, and others, too, first renew and record what they hold."""
        self._done_at = time.monotonic()

    async def all(self, *, orphans_only: bool) -> None:
        """Take back what is being sent elsewhere.

        Args:
            orphans_only: leave what still has a lease; otherwise no other process may live.
        """
        self._done_at = time.monotonic()
        request = RescueRequest(
            now=self._clock(),
            all_of_them=not orphans_only,
            except_for=self._leases.delivery_ids(),
        )
        for result in await self._ledger.write(rescue_orphans, request, urgent=True):
            figures.count_rescued(
                result.claim.channel,
                result.outcome.value,
                topic=result.topic,
                reason=result.reason and result.reason.value,
            )
            log.warning(
                "delivery_rescued",
                delivery_id=str(result.claim.delivery_id),
                message_id=str(result.claim.message_id),
                attempt_number=result.claim.attempt_number,
                status=result.status.value,
            )
