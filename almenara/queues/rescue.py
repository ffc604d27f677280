"""Taking back what dead processes held, now and then, and all of it at a start."""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from datetime import datetime
from uuid import UUID

from almenara.ledger import Ledger, RescueRequest, rescue_orphans
from almenara.telemetry import get_logger

log = get_logger("queue")

#: It runs so often, in seconds.
_EVERY = 5.0


class Rescue:
    """Takes deliveries back whose lease has ended."""

    def __init__(
        self, *, ledger: Ledger, clock: Callable[[], datetime], in_flight: Set[UUID]
    ) -> None:
        """Wire it.

        Args:
            in_flight: the deliveries that are under way in this process, as they are at any moment:
                never rescued, whatever a clock that jumped makes of their leases.
        """
        self._ledger = ledger
        self._clock = clock
        self._in_flight = in_flight
        self._done_at = 0.0

    async def now_and_then(self) -> None:
        """Take back what has no lease any more, if it is time."""
        if time.monotonic() - self._done_at > _EVERY:
            await self.all(orphans_only=True)

    async def all(self, *, orphans_only: bool) -> None:
        """Take back what is being sent elsewhere.

        Args:
            orphans_only: leave what still has a lease; otherwise no other process may live.
        """
        self._done_at = time.monotonic()
        request = RescueRequest(
            now=self._clock(), all_of_them=not orphans_only, except_for=frozenset(self._in_flight)
        )
        for result in await self._ledger.write(rescue_orphans, request, urgent=True):
            log.warning(
                "delivery_rescued",
                delivery_id=str(result.claim.delivery_id),
                message_id=str(result.claim.message_id),
                attempt_number=result.claim.attempt_number,
                status=result.status.value,
            )
