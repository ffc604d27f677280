"""The operator's hand on the log: cancel, resend, release.

Resending never changes what was: it makes new deliveries that name the old ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from almenara.database import Database, Row, Transaction, read_id, read_timestamp
from almenara.deliveries import (
    NewDelivery,
    Reason,
    Status,
    cancel,
    insert,
    refresh_messages,
    release,
)
from almenara.errors import ConflictError, NotFoundError
from almenara.ledger import Ledger
from almenara.models import new_id
from almenara.plan import no_slot, plan_delivery
from almenara.queues.base import Queue
from almenara.routing import (
    DEFAULT_STEP_DEADLINE,
    ChannelRoute,
    Routing,
    TopicRoute,
    route_of,
)

_NOT_FINAL = (Status.PENDING, Status.SENDING, Status.HELD)

#: The newest delivery of each channel of a message: those that were sent again are left out.
_NEWEST = """
SELECT delivery.* FROM delivery LEFT JOIN delivery newer ON newer.resend_of = delivery.id
WHERE newer.id IS NULL AND delivery.{by} = $1 ORDER BY delivery.id
"""


class Operator:
    """Changes deliveries because somebody asked for it."""

    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        routing: Routing,
        queue: Queue,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._routing = routing
        self._queue = queue
        self._clock = clock

    async def cancel_message(self, message_id: UUID) -> None:
        """Cancel every delivery of a message that waits; one being sent ends first.

        Raises:
            NotFoundError: there is no such message.
            ConflictError: nothing of it waits any more.
        """

        async def work(transaction: Transaction) -> None:
            await _message(transaction, message_id)
            await self._cancel(transaction, "message_id", message_id)

        await self._ledger.run(work)

    async def cancel_delivery(self, delivery_id: UUID) -> None:
        """Cancel one delivery that waits; if it is being sent, unless that succeeds or fails.

        Raises:
            NotFoundError: there is no such delivery.
            ConflictError: it is final.
        """

        async def work(transaction: Transaction) -> None:
            await _delivery(transaction, delivery_id)
            await self._cancel(transaction, "id", delivery_id)

        await self._ledger.run(work)

    async def release_delivery(self, delivery_id: UUID) -> None:
        """Put a held delivery back: it is due now.

        Raises:
            NotFoundError: there is no such delivery.
            ConflictError: it is not held.
        """

        async def work(transaction: Transaction) -> str:
            row = await _delivery(transaction, delivery_id)
            if not await release(transaction, delivery_id, now=self._clock()):
                raise ConflictError(
                    f"The delivery is {row['status']}; only a held one can be released.",
                    code="delivery_not_held",
                )
            return str(row["channel"])

        self._queue.ring([await self._ledger.run(work)])

    async def resend_delivery(self, delivery_id: UUID) -> UUID:
        """Send a final delivery again, and return the id of the new one.

        Raises:
            NotFoundError: there is no such delivery.
            ConflictError: it is not final, was sent again already, or its channel is gone.
        """

        async def work(transaction: Transaction) -> Sequence[NewDelivery]:
            await _delivery(transaction, delivery_id)
            rows = await transaction.fetch(_NEWEST.format(by="id"), delivery_id)
            if not rows:
                raise ConflictError(
                    "This delivery was sent again already; resend the newer one.",
                    code="delivery_resent",
                )
            if rows[0]["status"] in _NOT_FINAL:
                raise ConflictError(
                    f"The delivery is {rows[0]['status']}; only a final one can be sent again.",
                    code="delivery_not_final",
                )
            return await self._insert_again(transaction, rows)

        [delivery] = await self._ledger.run(work)
        self._queue.ring([delivery.channel])
        return delivery.id

    async def resend_message(self, message_id: UUID, *, sent_too: bool = False) -> Sequence[UUID]:
        """Send again what of a message failed or was cancelled, and return the new deliveries' ids.

        A message that had no route is routed anew.

        Args:
            sent_too: also what was sent.

        Raises:
            NotFoundError: there is no such message.
            ConflictError: there is nothing to send again.
        """

        async def work(transaction: Transaction) -> Sequence[NewDelivery]:
            message = await _message(transaction, message_id)
            rows = await transaction.fetch(_NEWEST.format(by="message_id"), message_id)
            if not rows:
                return await self._insert_first(transaction, message)
            chain = any(row["chained"] for row in rows)
            again = (_chain if chain else _each)(rows, sent_too=sent_too)
            if not again:
                raise ConflictError(
                    "Nothing of this message failed or was cancelled; add ?sent_too=true to send "
                    "again what was sent.",
                    code="nothing_to_resend",
                )
            step = self._step_of(message) if chain else None
            return await self._insert_again(transaction, again, step=step)

        deliveries = await self._ledger.run(work)
        self._queue.ring([delivery.channel for delivery in deliveries])
        return [delivery.id for delivery in deliveries]

    async def _cancel(self, transaction: Transaction, by: str, value: UUID) -> None:
        count = await cancel(
            transaction,
            by="id" if by == "id" else "message_id",
            value=value,
            reason=Reason.OPERATOR,
            now=self._clock(),
        )
        if not count:
            raise ConflictError("Nothing is left to cancel: all of it is final.", code="final")

    def _step_of(self, message: Row) -> timedelta:
        """Return how long each channel has when a failover chain begins anew."""
        topic = self._routing.table.topics.get(message["topic"] or "")
        return topic.step_deadline if topic else DEFAULT_STEP_DEADLINE

    async def _insert_again(
        self, transaction: Transaction, rows: Sequence[Row], *, step: timedelta | None = None
    ) -> Sequence[NewDelivery]:
        """Insert deliveries that name the old ones; with a step deadline, as a failover chain."""
        table = self._routing.table
        deliveries: list[NewDelivery] = []
        for row in rows:
            channel = table.channels.get(row["channel"])
            if channel is None:
                raise ConflictError(
                    f"The channel {row['channel']!r} is gone; send a new message.",
                    code="channel_gone",
                )
            again = self._delivery(row["message_id"], channel, row)
            if step is not None:
                due_at = again.due_at + len(deliveries) * step
                again = dataclasses.replace(again, chained=True, due_at=due_at)
            deliveries.append(again)
        return await self._insert(transaction, deliveries)

    async def _insert_first(self, transaction: Transaction, message: Row) -> Sequence[NewDelivery]:
        """Route a message that had no route."""
        table = self._routing.table
        topic = table.topics.get(message["topic"] or "")
        route = route_of(table, topic) if topic else None
        if route is None or not route.channels:
            raise ConflictError(_still_no_route(message["topic"], topic), code="no_route")
        deliveries = [
            self._delivery(message["id"], channel, message, position=position)
            for position, channel in enumerate(route.channels)
        ]
        if route.step_deadline is not None:
            deliveries = [
                dataclasses.replace(
                    one, chained=True, due_at=one.due_at + one.position * route.step_deadline
                )
                for one in deliveries
            ]
        return await self._insert(transaction, deliveries)

    def _delivery(
        self, message_id: object, channel: ChannelRoute, row: Row, *, position: int | None = None
    ) -> NewDelivery:
        now = self._clock()
        expires_at = _expiry(row)
        if expires_at is not None and expires_at <= now:
            raise ConflictError(
                f"The message was not to be sent after {expires_at.isoformat()}; send a new one.",
                code="message_expired",
            )
        return plan_delivery(
            read_id(message_id),
            channel,
            position=row["position"] if position is None else position,
            priority=row["priority"],
            due_at=now,
            now=now,
            new_id=new_id,
            take_slot=no_slot,
            resend_of=read_id(row["id"]) if position is None else None,
            expires_at=expires_at,
        )

    async def _insert(
        self, transaction: Transaction, deliveries: Sequence[NewDelivery]
    ) -> Sequence[NewDelivery]:
        await insert(transaction, deliveries)
        await refresh_messages(transaction, [one.message_id for one in deliveries])
        return deliveries


def _each(rows: Sequence[Row], *, sent_too: bool) -> Sequence[Row]:
    """Return what of independent deliveries is sent again."""
    return [
        row
        for row in rows
        if row["status"] not in _NOT_FINAL and (sent_too or row["status"] != Status.SENT)
    ]


def _chain(rows: Sequence[Row], *, sent_too: bool) -> Sequence[Row]:
    """Return what of a failover chain is sent again: the whole of it, once it has ended."""
    statuses = {row["status"] for row in rows}
    if statuses & set(_NOT_FINAL) or (Status.SENT in statuses and not sent_too):
        return ()
    return sorted((row for row in rows if row["chained"]), key=lambda row: int(row["position"]))


def _still_no_route(name: str | None, topic: TopicRoute | None) -> str:
    """Say why a message that had no route has none now."""
    if name is None:
        return "The message was for a channel that was disabled; send a new message."
    if topic is None:
        return f"The topic {name!r} is gone; send a new message."
    return f"The topic {name!r} still has no enabled channel."


def _expiry(row: Row) -> datetime | None:
    """Return when a message or delivery expires."""
    return None if row["expires_at"] is None else read_timestamp(row["expires_at"])


async def _message(transaction: Transaction, message_id: UUID) -> Row:
    rows = await transaction.fetch("SELECT * FROM message WHERE id = $1", message_id)
    if not rows:
        raise NotFoundError("message", str(message_id))
    return rows[0]


async def _delivery(transaction: Transaction, delivery_id: UUID) -> Row:
    rows = await transaction.fetch("SELECT * FROM delivery WHERE id = $1", delivery_id)
    if not rows:
        raise NotFoundError("delivery", str(delivery_id))
    return rows[0]
