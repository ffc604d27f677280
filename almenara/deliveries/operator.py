"""The moves that somebody asks for: inserted, cancelled, released from hold, given back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from almenara.database import Transaction, read_id
from almenara.deliveries.chains import pass_on
from almenara.deliveries.leases import lease_end
from almenara.deliveries.messages import lock_messages, refresh_messages
from almenara.deliveries.rows import NewDelivery
from almenara.deliveries.states import Claim, Reason, Status, by_id


async def insert(transaction: Transaction, deliveries: Sequence[NewDelivery]) -> None:
    """Insert deliveries by one statement; their messages must stand already."""
    await transaction.insert(
        "delivery",
        {
            "id": "uuid",
            "message_id": "uuid",
            "channel": "text",
            "position": "integer",
            "status": "text",
            "priority": "integer",
            "due_at": "timestamptz",
            "expires_at": "timestamptz",
            "attempt_number": "integer",
            "retry_step": "integer",
            "death_count": "integer",
            "token": "uuid",
            "started_at": "timestamptz",
            "lease_until": "timestamptz",
            "resend_of": "uuid",
            "created_at": "timestamptz",
            "chained": "boolean",
            "replay_id": "uuid",
        },
        [_row(delivery) for delivery in deliveries],
        computed={"lease_until": lease_end(transaction, "started_at", "lease_until")},
    )


async def cancel(
    transaction: Transaction,
    *,
    by: Literal["id", "message_id", "channel"],
    value: UUID | str,
    reason: Reason,
    now: datetime,
) -> int:
    """Cancel what waits; mark what is being sent, to be cancelled unless it is sent or fails.

    Returns:
        How many deliveries were cancelled or marked.
    """
    await _lock_messages_of(transaction, by, value)
    marked = await transaction.execute(
        f"UPDATE delivery SET cancel_reason = $1 WHERE {by} = $2 AND status = 'sending'",
        *(reason.value, value),
    )
    rows = await transaction.fetch(
        f"""
        UPDATE delivery SET status = 'cancelled', reason = $1, finished_at = $2
        WHERE {by} = $3 AND status IN ('pending', 'held') RETURNING message_id, chained
        """,
        *(reason.value, now, value),
    )
    await pass_on(
        transaction, {read_id(row["message_id"]) for row in rows if row["chained"]}, now=now
    )
    await refresh_messages(transaction, [read_id(row["message_id"]) for row in rows])
    return marked + len(rows)


async def release(transaction: Transaction, delivery_id: UUID, *, now: datetime) -> bool:
    """Put a held delivery back, due now, its deaths forgotten; false for one that is not held."""
    await _lock_messages_of(transaction, "id", delivery_id)
    rows = await transaction.fetch(
        """
        UPDATE delivery SET status = 'pending', reason = NULL, due_at = $1, death_count = 0
        WHERE id = $2 AND status = 'held' RETURNING message_id
        """,
        *(now, delivery_id),
    )
    await refresh_messages(transaction, [read_id(row["message_id"]) for row in rows])
    return bool(rows)


async def give_back(transaction: Transaction, claims: Sequence[Claim]) -> None:
    """Undo claims whose attempt was never begun: pending again, the attempt's number given back.

    What somebody asked to cancel meanwhile is cancelled, as of the moment it was claimed.
    """
    message_ids = {claim.message_id for claim in claims}
    await lock_messages(transaction, message_ids)
    source, values = transaction.rows(
        {"id": "uuid", "token": "uuid"},
        [(claim.delivery_id, claim.token) for claim in claims],
    )
    rows = await transaction.fetch(
        f"""
        UPDATE delivery SET
            status = CASE WHEN cancel_reason IS NULL THEN 'pending' ELSE 'cancelled' END,
            reason = cancel_reason,
            finished_at = CASE WHEN cancel_reason IS NOT NULL THEN started_at END,
            attempt_number = attempt_number - 1, token = NULL, started_at = NULL,
            lease_until = NULL, cancel_reason = NULL
        FROM {source}
        WHERE delivery.id = v.id AND delivery.token = v.token
            AND {by_id("delivery.status = 'sending'")}
        RETURNING delivery.message_id, delivery.status, delivery.chained
        """,
        *values,
    )
    stopped = {
        read_id(row["message_id"])
        for row in rows
        if row["chained"] and row["status"] == Status.CANCELLED
    }
    if stopped:
        await pass_on(transaction, stopped, now=max(claim.started_at for claim in claims))
    await refresh_messages(transaction, message_ids)


async def _lock_messages_of(transaction: Transaction, by: str, value: UUID | str) -> None:
    if transaction.dialect == "postgres":
        rows = await transaction.fetch(
            f"SELECT DISTINCT message_id FROM delivery WHERE {by} = $1"
            " AND status IN ('pending', 'sending', 'held')",
            value,
        )
        await lock_messages(transaction, [row["message_id"] for row in rows])


def _row(delivery: NewDelivery) -> tuple[object, ...]:
    claim = delivery.claim
    return (
        delivery.id,
        delivery.message_id,
        delivery.channel,
        delivery.position,
        delivery.status.value,
        delivery.priority,
        delivery.due_at,
        delivery.expires_at,
        claim.attempt_number if claim else 0,
        0,
        0,
        claim.token if claim else None,
        claim.started_at if claim else None,
        claim.lease_until if claim else None,
        delivery.resend_of,
        delivery.created_at,
        delivery.chained,
        delivery.replay_id,
    )
