"""The moves that time and newer messages bring about: expired, collapsed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from almenara.database import Transaction, read_id
from almenara.deliveries.failures import tell_failures
from almenara.deliveries.messages import refresh_messages
from almenara.deliveries.rows import Plan
from almenara.deliveries.states import Reason


async def expire(transaction: Transaction, *, now: datetime) -> int:
    """Fail what waits and whose time is over, however long it would wait yet; return how many."""
    rows = await transaction.fetch(
        """
        UPDATE delivery SET status = 'failed', reason = 'expired', finished_at = $1
        WHERE status = 'pending' AND expires_at <= $1
        RETURNING id, message_id, channel, status, reason, attempt_number
        """,
        now,
    )
    await tell_failures(transaction, rows, {}, at=now)
    await refresh_messages(transaction, [read_id(row["message_id"]) for row in rows])
    return len(rows)


async def collapse(transaction: Transaction, plans: Sequence[Plan]) -> None:
    """Cancel what waits of older messages with the topic and collapse key of these.

    What is being sent ends first; if it would come back for a retry, it is cancelled then.
    """
    keyed = [
        (one.message.id, one.message.topic, one.message.collapse_key)
        for one in plans
        if one.message.collapse_key is not None
    ]
    if not keyed:
        return
    now = max(one.message.created_at for one in plans)
    source, values = transaction.rows(
        {"id": "uuid", "topic": "text", "collapse_key": "text"}, keyed, first=2
    )
    older = f"""
        SELECT older.id FROM message AS older JOIN {source}
            ON older.topic = v.topic AND older.collapse_key = v.collapse_key AND older.id < v.id
    """
    await transaction.execute(
        f"""
        UPDATE delivery SET cancel_reason = COALESCE(cancel_reason, $1)
        WHERE status = 'sending' AND message_id IN ({older})
        """,
        *(Reason.COLLAPSED.value, *values),
    )
    rows = await transaction.fetch(
        f"""
        UPDATE delivery SET status = 'cancelled', reason = 'collapsed', finished_at = $1
        WHERE status = 'pending' AND message_id IN ({older}) RETURNING message_id
        """,
        *(now, *values),
    )
    await refresh_messages(transaction, [read_id(row["message_id"]) for row in rows])
