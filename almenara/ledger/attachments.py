"""Contents of attachments: stored in chunks before any message names them, purged after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from almenara.database import Transaction
from almenara.deliveries import NewMessage
from almenara.models import new_id

#: A chunk's length in bytes: its transaction holds nobody up.
CHUNK_BYTES = 262_144
#: What no message names is kept so long since it was brought.
ORPHANED_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Announced:
    """A content that is about to be stored."""

    sha256: str
    size: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a content."""

    sha256: str
    position: int
    data: bytes
    #: Whether the content is complete with it.
    last: bool


async def announce_contents(
    transaction: Transaction, contents: Sequence[Announced]
) -> Sequence[bool]:
    """Keep contents from being purged for an hour; true for each that is stored already."""
    source, values = transaction.rows(
        {"sha256": "text", "size": "integer", "touched_at": "timestamptz"},
        # One statement must not meet a row twice; in one order, so that two of them do not wait
        # for each other.
        sorted({one.sha256: (one.sha256, one.size, one.now) for one in contents}.values()),
    )
    rows = await transaction.fetch(
        f"""
        INSERT INTO attachment_content (sha256, size, complete, touched_at)
        SELECT sha256, size, FALSE, touched_at FROM {source} WHERE true
        ON CONFLICT (sha256) DO UPDATE SET touched_at = excluded.touched_at
        RETURNING sha256, complete
        """,
        *values,
    )
    complete = {row["sha256"] for row in rows if row["complete"]}
    return [one.sha256 in complete for one in contents]


async def store_chunks(transaction: Transaction, chunks: Sequence[Chunk]) -> Sequence[None]:
    """Store pieces of contents that were announced; what another upload stored first stays."""
    for chunk in chunks:
        await transaction.execute(
            """
            INSERT INTO attachment_chunk (id, content_id, position, data) VALUES ($1, $2, $3, $4)
            ON CONFLICT (content_id, position) DO NOTHING
            """,
            *(new_id(), chunk.sha256, chunk.position, chunk.data),
        )
        if chunk.last:
            await transaction.execute(
                "UPDATE attachment_content SET complete = TRUE WHERE sha256 = $1", chunk.sha256
            )
    return [None] * len(chunks)


async def insert_uses(transaction: Transaction, messages: Sequence[NewMessage]) -> None:
    """Let messages keep the contents that they name."""
    await transaction.insert(
        "attachment_use",
        {"id": "uuid", "message_id": "uuid", "content_id": "text"},
        [
            (new_id(), message.id, sha256)
            for message in messages
            for sha256 in sorted({one.sha256 for one in message.attachments})
        ],
    )


async def purge_contents(transaction: Transaction, *, now: datetime) -> int:
    """Delete a content that no message names and nobody has brought for an hour; return how many.

    One at a time: it may be 40 chunks. Whether somebody has brought it meanwhile is looked at again
    under its lock.
    """
    return await transaction.execute(
        """
        DELETE FROM attachment_content WHERE touched_at < $1 AND sha256 = (
            SELECT sha256 FROM attachment_content AS old
            WHERE touched_at < $1 AND NOT EXISTS (
                SELECT 1 FROM attachment_use WHERE attachment_use.content_id = old.sha256)
            ORDER BY touched_at LIMIT 1)
        """,
        now - ORPHANED_AFTER,
    )
