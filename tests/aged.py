"""Messages of the past, in every status, with all that belongs to them."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from almenara.database import Database, Row
from almenara.deliveries import Key, MessageStatus, Plan, Reason, Status, cancel
from almenara.ledger import accept_messages, record_results
from almenara.models import lowest_id
from tests.stored import NOW, SECOND, a_plan, a_result, claims_of, in_transaction

DAY = timedelta(days=1)
#: What finished before this moment is old, for a retention of 90 days.
CUT_OFF = NOW - 90 * DAY
#: When messages of the past were accepted, unless a test says otherwise.
LONG_AGO = NOW - 100 * DAY

_ENDS = {
    MessageStatus.SENT: (Status.SENT,),
    MessageStatus.FAILED: (Status.FAILED,),
    MessageStatus.PARTIAL: (Status.SENT, Status.FAILED),
    MessageStatus.HELD: (Status.HELD,),
}
_numbers = itertools.count()


def id_of(moment: datetime) -> UUID:
    """Return a new id of a moment; later ones of the same moment are greater."""
    return UUID(int=lowest_id(moment).int + next(_numbers))


async def aged(
    database: Database,
    status: MessageStatus,
    *,
    accepted: datetime = LONG_AGO,
    finished: datetime | None = None,
    said: str | None = None,
    **fields: Any,
) -> Plan:
    """Store a message that was accepted long ago, and came to a status.

    Args:
        finished: when the last of it ended; absent: soon after it was accepted.
        said: what its attempts say in their errors and details.
    """
    ends = _ENDS.get(status, ())
    channels = ["team", "mail"][: max(1, len(ends))]
    claimed = bool(ends) or status is MessageStatus.SENDING
    if status is MessageStatus.SCHEDULED:
        fields["send_at"] = NOW + DAY
    plan = a_plan(*channels, now=accepted, claimed=claimed, id=id_of(accepted), **fields)
    plan = plan._replace(key=Key("bot", str(plan.message.id), "as it was written"))
    if status is MessageStatus.NO_ROUTE:
        plan = plan._replace(deliveries=(), status=status)
    await in_transaction(database, lambda one: accept_messages(one, [plan]))
    moment = finished or accepted + SECOND
    if status is MessageStatus.CANCELLED:
        await in_transaction(
            database,
            lambda one: cancel(
                one, by="message_id", value=plan.message.id, reason=Reason.OPERATOR, now=moment
            ),
        )
    results = [
        a_result(claim, end, at=moment - SECOND, error=said, detail=said)
        for claim, end in zip(claims_of(plan), ends, strict=False)
    ]
    if results:
        await in_transaction(database, lambda one: record_results(one, results))
    assert (await message_of(database, plan))["status"] == status
    return plan


async def message_of(database: Database, plan: Plan) -> Row:
    """Read a message's row."""
    [row] = await database.fetch("SELECT * FROM message WHERE id = $1", plan.message.id)
    return row


async def kept(database: Database) -> set[UUID]:
    """Read the ids of the messages that are there."""
    return {UUID(str(row["id"])) for row in await database.fetch("SELECT id FROM message")}


async def orphans(database: Database) -> list[Row]:
    """Find what belongs to a message that is gone."""
    return await database.fetch(
        """
        SELECT 'delivery' AS kind, id FROM delivery
        WHERE message_id NOT IN (SELECT id FROM message)
        UNION ALL SELECT 'attempt', id FROM attempt
        WHERE message_id NOT IN (SELECT id FROM message)
            OR delivery_id NOT IN (SELECT id FROM delivery)
        UNION ALL SELECT 'key', message_id FROM idempotency_key
        WHERE message_id NOT IN (SELECT id FROM message)
        """
    )
