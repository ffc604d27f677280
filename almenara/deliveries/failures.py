"""News of deliveries that failed for good, or are held; never of those of system topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from almenara.database import Row, Transaction, read_id
from almenara.deliveries.states import Status
from almenara.news import SYSTEM_PREFIX, News, SystemTopic

_TOLD = {Status.FAILED: "failed", Status.HELD: "is held and waits for an operator"}


async def tell_failures(
    transaction: Transaction,
    moved: Sequence[Row],
    errors: Mapping[UUID, str | None],
    *,
    at: datetime,
) -> None:
    """Put deliveries that ended badly on the transaction's news.

    Args:
        moved: deliveries as they stand after a move.
        errors: by delivery, what its last attempt came to.
    """
    bad = [row for row in moved if row["status"] in _TOLD]
    if not bad:
        return
    ids = {read_id(row["message_id"]) for row in bad}
    source, values = transaction.rows({"id": "uuid"}, [(one,) for one in ids])
    rows = await transaction.fetch(
        f"SELECT id, topic, reference, redact FROM message WHERE id IN (SELECT id FROM {source})",
        *values,
    )
    messages = {read_id(row["id"]): row for row in rows}
    for row in bad:
        message = messages[read_id(row["message_id"])]
        # Never a loop: what fails to tell news is no news.
        if not (message["topic"] or "").startswith(SYSTEM_PREFIX):
            # What is to be redacted is not to live on in the news: errors may quote the text.
            error = None if message["redact"] else errors.get(read_id(row["id"]))
            transaction.news.append(_news(row, message, error, at))


def _news(row: Row, message: Row, error: str | None, at: datetime) -> News:
    attempts = row["attempt_number"]
    of_topic = f" of {message['topic']}" if message["topic"] else ""
    count = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    sentence = (
        f"The delivery{of_topic} through {row['channel']} {_TOLD[row['status']]} "
        f"({row['reason']}) after {count}."
    )
    return News(
        topic=SystemTopic.DELIVERY_FAILED,
        at=at,
        title=f"Delivery {row['status']}: {row['channel']}",
        text="\n".join(filter(None, (sentence, error, f"Message {message['id']}."))),
        data={
            "message_id": str(message["id"]),
            "delivery_id": str(row["id"]),
            "topic": message["topic"],
            "reference": message["reference"],
            "channel": row["channel"],
            "status": row["status"],
            "reason": row["reason"],
            "attempt_count": attempts,
            "error": error,
        },
    )
