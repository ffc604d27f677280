"""The moves along a failover chain: the next channel's turn, the deadline of a step, the end.

The deliveries of a chain are inserted together, each due at the deadline of the one before. One has
its turn when none before it is pending or being sent. It is made due at once when the one before
ends without success or is held; when it is due by its deadline, what waits before it is cancelled.
Whoever sends cancels the rest. Each move stands in the transaction of what brought it about, so a
chain survives a crash at every step.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from almenara.database import Transaction, read_id
from almenara.deliveries.messages import lock_messages, refresh_messages
from almenara.deliveries.states import Reason, by_id

#: For a WHERE on ``delivery``: it is in no chain, or nothing before it in its chain is under way.
HAS_ITS_TURN = """
    (NOT chained OR NOT EXISTS (
        SELECT 1 FROM delivery AS before
        WHERE before.message_id = delivery.message_id AND before.chained
            AND before.position < delivery.position AND before.status IN ('pending', 'sending')))
"""

#: What waits although a later one of its chain is due; not while another one is being sent.
_OVERTAKEN = """
    SELECT before.id AS id, before.message_id AS message_id
    FROM delivery AS due JOIN delivery AS before
        ON before.message_id = due.message_id AND before.chained
            AND before.position < due.position AND before.status = 'pending'
    WHERE due.status = 'pending' AND due.chained AND due.channel = $1 AND due.due_at <= $2
        AND NOT EXISTS (
            SELECT 1 FROM delivery AS sending
            WHERE sending.message_id = due.message_id AND sending.chained
                AND sending.position < due.position AND sending.status = 'sending')
    ORDER BY due.due_at LIMIT $3
"""


async def supersede(
    transaction: Transaction, limits: Sequence[tuple[str, int]], *, now: datetime
) -> None:
    """Cancel what waits before a delivery of these channels whose deadline has come.

    Args:
        limits: channels that may send now, and how many each.
    """
    overtaken: dict[UUID, UUID] = {}
    for channel, limit in limits:
        for row in await transaction.fetch(_OVERTAKEN, channel, now, limit):
            overtaken[read_id(row["id"])] = read_id(row["message_id"])
    if not overtaken:
        return
    await lock_messages(transaction, overtaken.values())
    source, values = transaction.rows({"id": "uuid"}, [(one,) for one in overtaken], first=3)
    rows = await transaction.fetch(
        f"""
        UPDATE delivery SET status = 'cancelled', reason = $1, finished_at = $2
        WHERE {by_id("status = 'pending'")} AND id IN (SELECT id FROM {source})
        RETURNING message_id
        """,
        *(Reason.SUPERSEDED.value, now, *values),
    )
    await refresh_messages(transaction, [read_id(row["message_id"]) for row in rows])


async def end_chains(
    transaction: Transaction, message_ids: Collection[UUID], *, now: datetime
) -> None:
    """Cancel what is left of chains whose message was sent; mark what is being sent."""
    if not message_ids:
        return
    source, values = transaction.rows({"id": "uuid"}, [(one,) for one in message_ids], first=3)
    await transaction.execute(
        f"""
        UPDATE delivery SET
            status = CASE WHEN status = 'sending' THEN status ELSE 'cancelled' END,
            reason = CASE WHEN status = 'sending' THEN reason ELSE $1 END,
            finished_at = CASE WHEN status = 'sending' THEN finished_at ELSE $2 END,
            cancel_reason = CASE WHEN status = 'sending' THEN COALESCE(cancel_reason, $1) END
        WHERE chained AND status IN ('pending', 'held', 'sending')
            AND message_id IN (SELECT id FROM {source})
        """,
        *(Reason.NOT_NEEDED.value, now, *values),
    )


async def pass_on(
    transaction: Transaction, message_ids: Collection[UUID], *, now: datetime
) -> None:
    """Make the next one of chains due now, where the one before it ended without success.

    A message that is scheduled keeps its time, and one that was tried already its own due time.
    """
    if not message_ids:
        return
    source, values = transaction.rows({"id": "uuid"}, [(one,) for one in message_ids], first=2)
    await transaction.execute(
        f"""
        UPDATE delivery SET due_at = COALESCE(
            (SELECT send_at FROM message WHERE message.id = delivery.message_id AND send_at > $1),
            $1)
        WHERE status = 'pending' AND chained AND due_at > $1 AND attempt_number = 0
            AND message_id IN (SELECT id FROM {source}) AND {HAS_ITS_TURN}
        """,
        *(now, *values),
    )
