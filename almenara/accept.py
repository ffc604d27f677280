"""A request becomes rows: find the route, plan, commit, and only then say yes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from almenara.deliveries import LEASE, Key, NewMessage, Plan
from almenara.dispatch import Ready
from almenara.errors import FieldError, InFlightError, InvalidInputError, UnavailableError
from almenara.ledger import Acceptance, Accepted, Ledger, accept_messages
from almenara.models import new_id
from almenara.plan import plan_message
from almenara.queues.base import Queue
from almenara.routing import FoundRoute, Routing, Table, find_route
from almenara.timeouts import Timeouts

#: So often a message is planned anew because the configuration moved meanwhile.
_PLANS_ALLOWED = 5

#: What of a message its sender wrote. `redact` is the topic's, and may change between a request and
#: its repetition; a repetition may belong to another trace.
_WRITTEN = tuple(
    name
    for name in NewMessage._fields
    if name not in {"id", "created_at", "sender", "redact", "traceparent"}
)

#: Equal keys wait so long for the one before to be stored, in seconds.
_KEY_SECONDS = 5.0


class Answer(NamedTuple):
    """The message that answers a request."""

    message_id: UUID
    #: What was stored; ``None``: it was a duplicate, and stands since before.
    plan: Plan | None

    @property
    def duplicate(self) -> bool:
        """Whether an equal message came under the same key before."""
        return self.plan is None


class Acceptor:
    """Accepts messages: what it returned is committed and synced, and will be attempted."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        routing: Routing,
        queue: Queue,
        clock: Callable[[], datetime],
        lease: timedelta = LEASE,
    ) -> None:
        self._ledger = ledger
        self._routing = routing
        self._queue = queue
        self._clock = clock
        self._lease = lease
        self._timeouts = Timeouts(_KEY_SECONDS, InFlightError)

    def now(self) -> datetime:
        """Tell the time, by which a message is created."""
        return self._clock()

    async def accept(
        self, message: NewMessage, *, channel: str | None = None, key: str | None = None
    ) -> Answer:
        """Store a message with its deliveries, and begin what has a free slot.

        Args:
            message: created now, by :meth:`now`: its deliveries are created with it.
            channel: addresses one channel directly; the topic, if any, is only kept.
            key: the sender's idempotency key: the same key and message are stored once.

        Raises:
            InvalidInputError: there is no such topic or channel, or the key came with another
                message before.
            InFlightError: an equal key is still being stored, after five seconds.
            UnavailableError: it was not stored.
        """
        kept = key and Key(message.sender or "", key, fingerprint(message, channel))
        for _ in range(_PLANS_ALLOWED):
            table, route = await self._find_route(message, channel)
            if (message.topic, message.redact) != (route.topic, route.redact):
                # Seldom: it takes as long as half of the planning.
                message = message._replace(topic=route.topic, redact=route.redact)
            plan = plan_message(
                message,
                route.channels,
                revision=table.revision,
                now=message.created_at,
                new_id=new_id,
                take_slot=self._queue.take_slot,
                key=kept or None,
                step_deadline=route.step_deadline,
                lease=self._lease,
            )
            accepted = await self._commit(plan)
            if accepted.acceptance is not Acceptance.STALE:
                return _answer(plan, accepted)
            await self._routing.refresh()
            message = message._replace(created_at=self._clock())
        raise UnavailableError("The topics and channels are changing all the time; send it again.")

    async def _find_route(
        self, message: NewMessage, channel: str | None
    ) -> tuple[Table, FoundRoute]:
        """Find where a message goes; a name that is not known may be another process's newest."""
        table = self._routing.table
        try:
            return table, find_route(table, message.topic, channel, message)
        except InvalidInputError:
            newer = await self._routing.refresh()
            if newer.revision == table.revision:
                raise
            return newer, find_route(newer, message.topic, channel, message)

    async def _commit(self, plan: Plan) -> Accepted:
        """Write a plan; however the waiter ends, each slot that it took is used or given back."""
        then: Callable[[Accepted | None], None] = partial(self._committed, plan)
        writing = self._ledger.submit(accept_messages, plan, then=then)
        if plan.key:
            self._timeouts.watch(writing)
        return await writing

    def _committed(self, plan: Plan, accepted: Accepted | None) -> None:
        stored = accepted is not None and accepted.acceptance is Acceptance.STORED
        hand_over(self._queue, plan, stored=stored)


_as_json = json.JSONEncoder(sort_keys=True, default=str).encode
_written = attrgetter(*_WRITTEN)


def fingerprint(message: NewMessage, channel: str | None) -> str:
    """Return a digest of what a sender wrote: equal for equal messages, whatever their ids."""
    content: dict[str, Any] = dict(zip(_WRITTEN, _written(message), strict=True))
    content["attachments"] = [dataclasses.asdict(one) for one in message.attachments]
    content["topic"] = message.topic and message.topic.strip().lower()
    content["channel"] = channel and channel.strip().lower()
    return hashlib.sha256(_as_json(content).encode()).hexdigest()


def _answer(plan: Plan, accepted: Accepted) -> Answer:
    if accepted.acceptance is Acceptance.KEY_REUSED:
        message = (
            "This Idempotency-Key came with another message before; take a new key for a new "
            "message."
        )
        wrong = FieldError(field="Idempotency-Key", code="key_reused", message=message)
        raise InvalidInputError(message, errors=[wrong], code="key_reused")
    duplicate = accepted.acceptance is Acceptance.DUPLICATE
    return Answer(accepted.message_id, None if duplicate else plan)


def hand_over(queue: Queue, plan: Plan, *, stored: bool) -> None:
    """Begin what was born claimed and ring for the rest; or give the slots of a lost plan back."""
    claims = [delivery.claim for delivery in plan.deliveries if delivery.claim]
    if stored:
        queue.start_attempts([Ready(claim, plan.message) for claim in claims])
        waiting = [one for one in plan.deliveries if not one.claim]
        if waiting and plan.message.send_at is None:
            queue.ring_for(waiting)
    else:
        for claim in claims:
            queue.return_slot(claim.channel)
