"""Final deliveries are sent again, as new ones that name the old ones; the old ones never change.

The operator's hand and replays meet here, so that neither sends again what the other has just sent
again, in whatever process.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from almenara.database import Row, Transaction, read_id, read_timestamp
from almenara.deliveries import (
    FINAL,
    NewDelivery,
    Status,
    insert,
    lock_messages,
    refresh_messages,
)
from almenara.errors import ConflictError
from almenara.models import new_id
from almenara.routing import DEFAULT_STEP_DEADLINE


async def read_newest(transaction: Transaction, message_ids: Collection[UUID]) -> list[Row]:
    """Return the newest delivery of each channel of messages: those sent again are left out.

    The messages are locked: until this transaction ends nobody else sends the same again, and
    whoever waited for it sees the new deliveries.
    """
    if not message_ids:
        return []
    if transaction.dialect == "postgres":
        # Shared: whoever deletes a channel meanwhile waits, and then sees the new deliveries.
        await transaction.fetch("SELECT revision FROM configuration WHERE id = 1 FOR SHARE")
    await lock_messages(transaction, message_ids)
    source, values = transaction.rows({"id": "uuid"}, [(one,) for one in message_ids])
    return await transaction.fetch(
        f"""
        SELECT delivery.*, message.redacted_at, channel.id AS channel_id,
            topic.step_deadline_seconds
        FROM delivery JOIN message ON message.id = delivery.message_id
        LEFT JOIN channel ON channel.name = delivery.channel
        LEFT JOIN topic ON topic.name = message.topic
        LEFT JOIN delivery newer ON newer.resend_of = delivery.id
        WHERE newer.id IS NULL AND delivery.message_id IN (SELECT id FROM {source})
        ORDER BY delivery.id
        """,
        *values,
    )


def chain_of(rows: Sequence[Row], *, sent_too: bool) -> Sequence[Row]:
    """Return what of a message's failover chain is sent again: the whole of it, once it has ended.

    Args:
        rows: all of :func:`read_newest` of the message.
        sent_too: also a chain that has sent the message.
    """
    statuses = {row["status"] for row in rows}
    if not statuses <= FINAL or (Status.SENT in statuses and not sent_too):
        return ()
    return sorted((row for row in rows if row["chained"]), key=lambda row: int(row["position"]))


def plan_again(
    rows: Sequence[Row], *, now: datetime, chained: bool = False, replay_id: UUID | None = None
) -> list[NewDelivery]:
    """Plan the deliveries that send some of :func:`read_newest` of one message again.

    Args:
        chained: as a failover chain in the order of the rows; otherwise all are due now.

    Raises:
        ConflictError: a channel is gone, or there is nothing left that could be sent.
    """
    deliveries = []
    for place, row in enumerate(rows):
        if row["channel_id"] is None:
            raise ConflictError(
                f"The channel {row['channel']!r} is gone; send a new message.", code="channel_gone"
            )
        delivery = NewDelivery(
            id=new_id(),
            message_id=read_id(row["message_id"]),
            channel=row["channel"],
            position=row["position"],
            priority=row["priority"],
            due_at=now + place * _step_deadline(row) if chained else now,
            created_at=now,
            resend_of=read_id(row["id"]),
            expires_at=usable_until(row, now=now),
            chained=chained,
            replay_id=replay_id,
        )
        deliveries.append(delivery)
    return deliveries


def usable_until(row: Row, *, now: datetime) -> datetime | None:
    """Return when a message, or a delivery of it, expires; ``None``: never.

    Raises:
        ConflictError: it has expired, or its texts were dropped.
    """
    if row["redacted_at"] is not None:
        raise ConflictError(
            "The message's texts were dropped when it was finished; send a new one.",
            code="message_redacted",
        )
    expires_at = None if row["expires_at"] is None else read_timestamp(row["expires_at"])
    if expires_at is not None and expires_at <= now:
        raise ConflictError(
            f"The message was not to be sent after {expires_at.isoformat()}; send a new one.",
            code="message_expired",
        )
    return expires_at


async def insert_again(transaction: Transaction, deliveries: Sequence[NewDelivery]) -> None:
    """Insert new deliveries of messages that stand already, and roll those messages up."""
    await insert(transaction, deliveries)
    await refresh_messages(transaction, [one.message_id for one in deliveries])


def _step_deadline(row: Row) -> timedelta:
    """Return how long each channel has when a failover chain begins anew."""
    seconds = row["step_deadline_seconds"]
    return DEFAULT_STEP_DEADLINE if seconds is None else timedelta(seconds=seconds)
