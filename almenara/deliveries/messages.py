"""A message's status, rolled up from its deliveries in the transaction that moved them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from almenara.database import Row, Transaction, read_id
from almenara.deliveries.states import MessageStatus, roll_up


async def refresh_messages(transaction: Transaction, message_ids: Iterable[UUID]) -> None:
    """Roll the messages' statuses up from their deliveries."""
    ids = sorted(set(message_ids))
    if not ids:
        return
    source, values = transaction.rows({"id": "uuid"}, [(one,) for one in ids])
    rows = await transaction.fetch(
        f"""
        SELECT message.id AS id, message.send_at AS send_at, delivery.status AS status,
            MAX(CASE WHEN delivery.resend_of IS NULL THEN delivery.attempt_number ELSE 1 END)
                AS attempts,
            MAX(CASE WHEN delivery.chained THEN 1 ELSE 0 END) AS chained
        FROM message
        JOIN delivery ON delivery.message_id = message.id
        LEFT JOIN delivery newer ON newer.resend_of = delivery.id
        WHERE newer.id IS NULL AND message.id IN (SELECT id FROM {source})
        GROUP BY message.id, message.send_at, delivery.status
        """,
        *values,
    )
    statuses: dict[UUID, list[Row]] = {}
    for row in rows:
        statuses.setdefault(read_id(row["id"]), []).append(row)
    source, values = transaction.rows(
        {"id": "uuid", "status": "text"},
        [(one, _rolled_up(of_one).value) for one, of_one in statuses.items()],
    )
    await transaction.execute(
        f"UPDATE message SET status = v.status FROM {source} WHERE message.id = v.id",
        *values,
    )


def _rolled_up(rows: Sequence[Row]) -> MessageStatus:
    return roll_up(
        (row["status"] for row in rows),
        scheduled=rows[0]["send_at"] is not None and not any(row["attempts"] for row in rows),
        chained=any(row["chained"] for row in rows),
    )


async def lock_messages(transaction: Transaction, message_ids: Iterable[UUID]) -> None:
    """Lock the messages first, so that two workers cannot both roll up half of the truth."""
    if transaction.dialect == "postgres":
        await transaction.fetch(
            "SELECT id FROM message WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE",
            sorted(message_ids),
        )
