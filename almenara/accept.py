"""A request becomes rows: find the route, plan, commit, and only then say yes."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import datetime
from functools import partial

from almenara.deliveries import NewMessage, Plan
from almenara.dispatch import Ready
from almenara.errors import UnavailableError
from almenara.ledger import Ledger, accept_messages
from almenara.models import new_id
from almenara.plan import plan_message
from almenara.queues.base import Queue
from almenara.routing import Routing, find_route

#: So often a message is planned anew because the configuration moved meanwhile.
_PLANS_ALLOWED = 5


class Acceptor:
    """Accepts messages: what it returned is committed and synced, and will be attempted."""

    def __init__(
        self, *, ledger: Ledger, routing: Routing, queue: Queue, clock: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._routing = routing
        self._queue = queue
        self._clock = clock

    async def accept(self, message: NewMessage, *, channel: str | None = None) -> Plan:
        """Store a message with its deliveries, and begin what has a free slot.

        Args:
            channel: addresses one channel directly; the topic, if any, is only kept.

        Raises:
            InvalidInputError: there is no such topic or channel.
            UnavailableError: it was not stored.
        """
        for _ in range(_PLANS_ALLOWED):
            now = self._clock()
            table = self._routing.table
            found, channels = find_route(table, message.topic, channel)
            message = dataclasses.replace(message, topic=found, created_at=now)
            plan = plan_message(
                message,
                channels,
                revision=table.revision,
                now=now,
                new_id=new_id,
                take_slot=self._queue.take_slot,
            )
            if await self.commit(plan):
                return plan
            await self._routing.refresh()
        raise UnavailableError("The topics and channels are changing all the time; send it again.")

    async def commit(self, plan: Plan) -> bool:
        """Write a plan, unless the configuration moved on: then false, and nothing written.

        However the waiter ends, each slot that the plan took is used or given back.
        """
        try:
            future = self._ledger.submit(accept_messages, plan)
        except UnavailableError:
            hand_over(self._queue, plan, committed=False)
            raise
        future.add_done_callback(partial(self._committed, plan))
        return await asyncio.shield(future)

    def _committed(self, plan: Plan, future: asyncio.Future[bool]) -> None:
        failed = future.cancelled() or future.exception() is not None
        hand_over(self._queue, plan, committed=not failed and future.result())


def hand_over(queue: Queue, plan: Plan, *, committed: bool) -> None:
    """Begin what was born claimed and ring for the rest; or give the slots of a lost plan back."""
    claims = [delivery.claim for delivery in plan.deliveries if delivery.claim]
    if committed:
        queue.start_attempts([Ready(claim, plan.message) for claim in claims])
        waiting = [one.channel for one in plan.deliveries if not one.claim]
        if waiting and plan.message.send_at is None:
            queue.ring(waiting)
    else:
        for claim in claims:
            queue.return_slot(claim.channel)
