"""What the ledger takes away again: old messages whole, and the texts of those to be redacted.

Only finished messages are touched. Whoever makes one unfinished again (a resend) locks its row
first, as is done here, so on PostgreSQL one of the two waits or passes by; on SQLite there is one
writer. Both work in small batches: what is found by a look on the reading connection is looked at
again inside the transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from almenara.database import Database, Row, Transaction, read_id
from almenara.deliveries import FINAL, MessageStatus
from almenara.models import lowest_id

#: The statuses of a message of which nothing waits.
FINISHED = (
    MessageStatus.SENT,
    MessageStatus.PARTIAL,
    MessageStatus.FAILED,
    MessageStatus.CANCELLED,
    MessageStatus.NO_ROUTE,
)

#: So many messages are looked at together, and go into one transaction at the most.
BATCH_MESSAGES = 100
#: A batch ends early when its messages have so many attempts.
BATCH_ATTEMPTS = 500

_FINISHED = ", ".join(f"'{status.value}'" for status in FINISHED)
_FINAL = ", ".join(f"'{status.value}'" for status in sorted(FINAL))
_ATTEMPT_COUNT = "(SELECT COUNT(*) FROM attempt WHERE attempt.message_id = message.id)"

#: Finished, and nothing of it finished after the moment.
_OLD = f"""
(message.status IN ({_FINISHED}) AND NOT EXISTS (
    SELECT 1 FROM delivery WHERE delivery.message_id = message.id
        AND (delivery.status NOT IN ({_FINAL}) OR delivery.finished_at >= $1)))
"""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of the log that was looked through, from the oldest."""

    #: What is old in it.
    ids: Sequence[UUID]
    #: The last message that was looked at; ``None``: there was none.
    last: UUID | None


async def find_old(database: Database, *, before: datetime, after: UUID) -> Stretch:
    """Look through the next messages of the log by their ids, which are in the order of time.

    Args:
        before: what finished before this moment is old.
        after: the last message that was looked at.
    """
    rows = await database.fetch(
        f"""
        SELECT message.id AS id, {_OLD} AS old, {_ATTEMPT_COUNT} AS attempt_count FROM message
        WHERE message.id > $2 AND message.id < $3 ORDER BY message.id LIMIT {BATCH_MESSAGES}
        """,
        *(before, after, lowest_id(before)),
    )
    batch = _batch(rows)
    ids = [read_id(row["id"]) for row in batch if row["old"]]
    return Stretch(ids, read_id(batch[-1]["id"]) if batch else None)


async def purge_messages(transaction: Transaction, ids: Sequence[UUID], *, before: datetime) -> int:
    """Delete those messages that are still old, with all that belongs to them; return how many."""
    ids = await _lock_finished(transaction, ids)
    source, values = transaction.rows({"id": "uuid"}, [(one,) for one in ids], first=2)
    # A second statement: it sees what was committed while the first one waited for its locks.
    rows = await transaction.fetch(
        f"SELECT id FROM message WHERE id IN (SELECT id FROM {source}) AND {_OLD}",
        *(before, *values),
    )
    source, values = transaction.rows({"id": "uuid"}, [(read_id(row["id"]),) for row in rows])
    for table, column in (
        ("attempt", "message_id"),
        ("delivery", "message_id"),
        ("idempotency_key", "message_id"),
        ("attachment_use", "message_id"),
        ("message", "id"),
    ):
        await transaction.execute(
            f"DELETE FROM {table} WHERE {column} IN (SELECT id FROM {source})", *values
        )
    return len(rows)


async def find_unredacted(database: Database) -> Sequence[UUID]:
    """Find finished messages whose texts are to be dropped: one look into the partial index."""
    rows = await database.fetch(
        f"""
        SELECT message.id AS id, {_ATTEMPT_COUNT} AS attempt_count FROM message
        WHERE redact AND redacted_at IS NULL AND status IN ({_FINISHED}) LIMIT {BATCH_MESSAGES}
        """
    )
    return [read_id(row["id"]) for row in _batch(rows)]


async def redact_messages(transaction: Transaction, ids: Sequence[UUID], *, now: datetime) -> int:
    """Drop the texts of those messages that are still finished, and return how many.

    The facts stay: statuses, reasons, outcomes, numbers, times, references. What plugins said in
    errors and details goes, as it may quote the texts or the recipients.
    """
    ids = await _lock_finished(transaction, ids)
    source, values = transaction.rows({"id": "uuid"}, [(one,) for one in ids], first=2)
    count = await transaction.execute(
        f"""
        UPDATE message SET title = NULL, description = '', data = '{{}}', metadata = '{{}}',
            recipients = '[]', attachments = NULL, redacted_at = $1
        WHERE id IN (SELECT id FROM {source}) AND redact AND redacted_at IS NULL
        """,
        *(now, *values),
    )
    await transaction.execute(
        f"""
        DELETE FROM attachment_use WHERE message_id IN (
            SELECT message.id FROM message
            WHERE message.id IN (SELECT id FROM {source}) AND redacted_at = $1)
        """,
        *(now, *values),
    )
    await drop_attempt_texts(transaction, ids)
    return count


async def drop_attempt_texts(transaction: Transaction, message_ids: Sequence[UUID]) -> None:
    """Drop what the attempts of redacted messages say; called too for those that come late."""
    if not message_ids:
        return
    source, values = transaction.rows({"id": "uuid"}, [(one,) for one in message_ids])
    await transaction.execute(
        f"""
        UPDATE attempt SET error = NULL, detail = NULL WHERE message_id IN (
            SELECT id FROM message
            WHERE id IN (SELECT id FROM {source}) AND redacted_at IS NOT NULL)
        """,
        *values,
    )


async def _lock_finished(transaction: Transaction, ids: Sequence[UUID]) -> list[UUID]:
    """Lock those messages that are finished; what another process has in hand is passed by."""
    source, values = transaction.rows({"id": "uuid"}, [(one,) for one in ids])
    skip = "FOR UPDATE SKIP LOCKED" if transaction.dialect == "postgres" else ""
    rows = await transaction.fetch(
        f"""
        SELECT id FROM message
        WHERE id IN (SELECT id FROM {source}) AND status IN ({_FINISHED}) ORDER BY id {skip}
        """,
        *values,
    )
    return [read_id(row["id"]) for row in rows]


def _batch(rows: Sequence[Row]) -> Sequence[Row]:
    """Take rows from the first until their attempts are enough; always one."""
    attempts = 0
    for index, row in enumerate(rows):
        attempts += row["attempt_count"]
        if attempts > BATCH_ATTEMPTS and index:
            return rows[:index]
    return rows
