"""A message's status, rolled up from its deliveries in the transaction that moved them."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from almenara.database import Transaction

#: What :func:`almenara.deliveries.states.roll_up` says, for many messages at once.
_ROLLED_UP = """
    SELECT message.id AS id, CASE
        WHEN COUNT(*) FILTER (WHERE delivery.status = 'sending') > 0 THEN 'sending'
        WHEN COUNT(*) FILTER (WHERE delivery.status = 'pending') > 0 THEN CASE
            WHEN message.send_at IS NOT NULL AND MAX(
                CASE WHEN delivery.resend_of IS NULL THEN delivery.attempt_number ELSE 1 END
            ) = 0 THEN 'scheduled' ELSE 'queued' END
        WHEN COUNT(*) FILTER (WHERE delivery.status = 'held') > 0 THEN 'held'
        WHEN COUNT(*) FILTER (WHERE delivery.status = 'sent') > 0 THEN CASE
            WHEN COUNT(*) FILTER (WHERE delivery.status <> 'sent') = 0
                OR COUNT(*) FILTER (WHERE delivery.chained) > 0 THEN 'sent' ELSE 'partial' END
        WHEN COUNT(*) FILTER (WHERE delivery.status = 'failed') > 0 THEN 'failed'
        ELSE 'cancelled' END AS status
    FROM message
    JOIN delivery ON delivery.message_id = message.id
    LEFT JOIN delivery newer ON newer.resend_of = delivery.id
    WHERE newer.id IS NULL AND message.id IN (SELECT id FROM {source})
    GROUP BY message.id, message.send_at
"""


async def refresh_messages(transaction: Transaction, message_ids: Iterable[UUID]) -> None:
    """Roll the messages' statuses up from their deliveries."""
    ids = sorted(set(message_ids))
    if not ids:
        return
    source, values = transaction.rows({"id": "uuid"}, [(one,) for one in ids])
    # Also where it seems to be right already: whoever changes it just now did not see our change.
    await transaction.execute(
        f"""
        UPDATE message SET status = rolled_up.status
        FROM ({_ROLLED_UP.format(source=source)}) AS rolled_up WHERE message.id = rolled_up.id
        """,
        *values,
    )


async def mark_sending(transaction: Transaction, message_ids: Iterable[UUID]) -> None:
    """Say so of messages of which a delivery was claimed: wherever the others stand, they are.

    Nothing is counted for that, so it takes a third less than :func:`refresh_messages`.
    """
    source, values = transaction.rows({"id": "uuid"}, [(one,) for one in sorted(set(message_ids))])
    # Also where it seems to be right already, as above.
    await transaction.execute(
        f"UPDATE message SET status = 'sending' WHERE id IN (SELECT id FROM {source})", *values
    )


async def lock_messages(transaction: Transaction, message_ids: Iterable[UUID]) -> None:
    """Lock the messages first, so that two workers cannot both roll up half of the truth."""
    if transaction.dialect == "postgres":
        await transaction.fetch(
            "SELECT id FROM message WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE",
            sorted(message_ids),
        )
