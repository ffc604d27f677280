"""The operator's hand on the log: cancel, resend, release.

Resending never changes what was: it makes new deliveries that name the old ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from almenara.database import Database, Row, Transaction, read_id
from almenara.deliveries import (
    FINAL,
    NewDelivery,
    Reason,
    Status,
    cancel,
    release,
)
from almenara.errors import ConflictError, NotFoundError
from almenara.ledger import Ledger
from almenara.models import Message, new_id
from almenara.plan import no_slot, plan_delivery
from almenara.queues.base import Queue
from almenara.resend import chain_of, insert_again, plan_again, read_newest, usable_until
from almenara.routing import Routing, TopicRoute, route_of
from almenara.trail import Action, Trace, leave


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

    async def cancel_message(self, message_id: UUID, *, by: str | None = None) -> None:
        """Cancel every delivery of a message that waits; one being sent ends first.

        Raises:
            NotFoundError: there is no such message.
            ConflictError: nothing of it waits any more.
        """

        async def work(transaction: Transaction) -> None:
            await _message(transaction, message_id)
            await self._cancel(transaction, "message_id", message_id)
            trace = Trace(Action.MESSAGE_CANCELLED, str(message_id))
            await leave(transaction, trace, by=by, at=self._clock())

        await self._ledger.run(work)

    async def cancel_delivery(self, delivery_id: UUID, *, by: str | None = None) -> None:
        """Cancel one delivery that waits; if it is being sent, unless that succeeds or fails.

        Raises:
            NotFoundError: there is no such delivery.
            ConflictError: it is final.
        """

        async def work(transaction: Transaction) -> None:
            await _delivery(transaction, delivery_id)
            await self._cancel(transaction, "id", delivery_id)
            trace = Trace(Action.DELIVERY_CANCELLED, str(delivery_id))
            await leave(transaction, trace, by=by, at=self._clock())

        await self._ledger.run(work)

    async def release_delivery(self, delivery_id: UUID, *, by: str | None = None) -> None:
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
            trace = Trace(Action.DELIVERY_RELEASED, str(delivery_id))
            await leave(transaction, trace, by=by, at=self._clock())
            return str(row["channel"])

        self._queue.ring([await self._ledger.run(work)])

    async def resend_delivery(self, delivery_id: UUID, *, by: str | None = None) -> UUID:
        """Send a final delivery again, and return the id of the new one.

        Raises:
            NotFoundError: there is no such delivery.
            ConflictError: it is not final, was sent again already, or its channel is gone.
        """

        async def work(transaction: Transaction) -> Sequence[NewDelivery]:
            delivery = await _delivery(transaction, delivery_id)
            newest = await read_newest(transaction, [read_id(delivery["message_id"])])
            # Again, under the lock: it may have been purged meanwhile.
            await _delivery(transaction, delivery_id)
            rows = [row for row in newest if read_id(row["id"]) == delivery_id]
            if not rows:
                raise ConflictError(
                    "This delivery was sent again already; resend the newer one.",
                    code="delivery_resent",
                )
            if rows[0]["status"] not in FINAL:
                raise ConflictError(
                    f"The delivery is {rows[0]['status']}; only a final one can be sent again.",
                    code="delivery_not_final",
                )
            deliveries = plan_again(rows, now=self._clock())
            await insert_again(transaction, deliveries)
            trace = Trace(Action.DELIVERY_RESENT, str(delivery_id), after=_made(deliveries))
            await leave(transaction, trace, by=by, at=self._clock())
            return deliveries

        [delivery] = await self._ledger.run(work)
        self._queue.ring_for([delivery])
        return delivery.id

    async def resend_message(
        self, message_id: UUID, *, sent_too: bool = False, by: str | None = None
    ) -> Sequence[UUID]:
        """Send again what of a message failed or was cancelled, and return the new deliveries' ids.

        A message that had no route is routed anew.

        Args:
            sent_too: also what was sent.

        Raises:
            NotFoundError: there is no such message.
            ConflictError: there is nothing to send again.
        """

        async def work(transaction: Transaction) -> Sequence[NewDelivery]:
            rows = await read_newest(transaction, [message_id])
            # Under the lock: it is neither purged nor redacted from here on.
            message = await _message(transaction, message_id)
            deliveries = await again(transaction, message, rows)
            trace = Trace(Action.MESSAGE_RESENT, str(message_id), after=_made(deliveries))
            await leave(transaction, trace, by=by, at=self._clock())
            return deliveries

        async def again(
            transaction: Transaction, message: Row, rows: Sequence[Row]
        ) -> Sequence[NewDelivery]:
            if not rows:
                return await self._insert_first(transaction, message)
            chain = any(row["chained"] for row in rows)
            wanted = (chain_of if chain else _each)(rows, sent_too=sent_too)
            if not wanted:
                raise ConflictError(
                    "Nothing of this message failed or was cancelled; add ?sent_too=true to send "
                    "again what was sent.",
                    code="nothing_to_resend",
                )
            deliveries = plan_again(wanted, now=self._clock(), chained=chain)
            await insert_again(transaction, deliveries)
            return deliveries

        deliveries = await self._ledger.run(work)
        self._queue.ring_for(deliveries)
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

    async def _insert_first(self, transaction: Transaction, message: Row) -> Sequence[NewDelivery]:
        """Route a message that had no route."""
        table = await self._routing.read_in(transaction)
        topic = table.topics.get(message["topic"] or "")
        content = await Message.get(id=message["id"], using_db=transaction.client)
        route = route_of(table, topic, content) if topic else None
        if route is None or not route.channels:
            raise ConflictError(_still_no_route(message["topic"], topic), code="no_route")
        now = self._clock()
        expires_at = usable_until(message, now=now)
        step = route.step_deadline
        deliveries = [
            plan_delivery(
                read_id(message["id"]),
                channel,
                position=position,
                priority=message["priority"],
                due_at=now if step is None else now + position * step,
                now=now,
                new_id=new_id,
                take_slot=no_slot,
                expires_at=expires_at,
                chained=step is not None,
            )
            for position, channel in enumerate(route.channels)
        ]
        await insert_again(transaction, deliveries)
        return deliveries


def _made(deliveries: Sequence[NewDelivery]) -> dict[str, list[str]]:
    return {"deliveries": [str(one.id) for one in deliveries]}


def _each(rows: Sequence[Row], *, sent_too: bool) -> Sequence[Row]:
    """Return what of independent deliveries is sent again."""
    return [
        row for row in rows if row["status"] in FINAL and (sent_too or row["status"] != Status.SENT)
    ]


def _still_no_route(name: str | None, topic: TopicRoute | None) -> str:
    """Say why a message that had no route has none now."""
    if name is None:
        return "The message was for a channel that was disabled; send a new message."
    if topic is None:
        return f"The topic {name!r} is gone; send a new message."
    return f"The topic {name!r} still has no enabled channel that takes the message."


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
