"""The queue for tests: nothing happens until :meth:`InlineQueue.run_due` is called, and then all.

Everything is born pending, so a test sees each state; attempts are made one after another in the
caller's task.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from almenara.deliveries import NewDelivery, Result
from almenara.dispatch import Dispatcher, Ready
from almenara.ledger import ClaimRequest, Ledger, RescueRequest, claim, expire_stale, rescue_orphans
from almenara.queues.slots import Turns
from almenara.routing import ChannelRoute, Routing


class InlineQueue:
    """Makes attempts when told to."""

    def __init__(self, *, ledger: Ledger, routing: Routing, dispatcher: Dispatcher) -> None:
        self._ledger = ledger
        self._routing = routing
        self._dispatcher = dispatcher
        self._turns = Turns()
        self._stopped = False

    def take_slot(self, channel: ChannelRoute) -> bool:
        """Give none: everything is born pending."""
        return False

    def return_slot(self, channel: str) -> None:
        """Do nothing: no slot was ever given."""

    def start_attempts(self, ready: Sequence[Ready]) -> None:
        """Do nothing: nothing is born claimed."""

    def ring(self, channels: Iterable[str]) -> None:
        """Do nothing: the test says when."""

    def ring_for(self, deliveries: Sequence[NewDelivery]) -> None:
        """Do nothing: the test says when."""

    async def start(self) -> None:
        """Take back everything: a test's database has no other process."""

    async def rescue(self, now: datetime, *, all_of_them: bool = False) -> Sequence[Result]:
        """Take back what dead processes held."""
        request = RescueRequest(now=now, all_of_them=all_of_them)
        return await self._ledger.write(rescue_orphans, request, urgent=True)

    async def run_due(self, now: datetime) -> list[Result]:
        """Claim what is due at a moment, make the attempts, and return what they came to."""
        if self._stopped:
            return []
        table = await self._routing.refresh()
        await self._ledger.write(expire_stale, now, urgent=True)
        limits = [(one.name, one.concurrency) for one in table.channels.values() if one.enabled]
        turn = self._turns.oldest_first()
        request = ClaimRequest(limits, now, turn, revision=table.revision)
        claims = [*(await self._ledger.write(claim, request, urgent=True)).claims]
        # One after another: each is alone anyway.
        request = ClaimRequest(limits, now, suspects=True, revision=table.revision)
        claims += (await self._ledger.write(claim, request, urgent=True)).claims
        results = []
        for ready in await self._dispatcher.read(claims):
            result = (await self._dispatcher.attempt(ready)).result
            if result is not None:
                await self._dispatcher.record(result, topic=ready.message.topic)
                results.append(result)
        return results

    async def drain(self, grace_seconds: float) -> None:
        """Make no more attempts."""
        self._stopped = True

    @property
    def trouble(self) -> str | None:
        """Nothing."""
        return None

    @property
    def healthy(self) -> bool:
        """Whether attempts are made when asked for."""
        return not self._stopped
