"""What is to be sent, read from the rows of messages that were stored before."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any
from uuid import UUID

from almenara.database import Database, Row, Transaction, read_id, read_timestamp
from almenara.deliveries import AttachedFile, NewMessage

_COLUMNS = (
    "id, topic, description, created_at, title, format, priority, tags, data, recipients,"
    " reference, metadata, attachments, sender, send_at, expires_at, collapse_key, traceparent"
)


async def read_contents(database: Database, ids: Collection[UUID]) -> dict[UUID, NewMessage]:
    """Read messages by their ids; in SQL of our own, which costs half of what models do."""
    transaction = Transaction(database.reader, database.dialect)
    source, values = transaction.rows({"id": "uuid"}, [(one,) for one in ids])
    rows = await transaction.fetch(
        f"SELECT {_COLUMNS} FROM message WHERE id IN (SELECT id FROM {source})", *values
    )
    return {message.id: message for message in map(_content, rows)}


def _content(row: Row) -> NewMessage:
    return NewMessage(
        id=read_id(row["id"]),
        topic=row["topic"],
        description=row["description"],
        created_at=read_timestamp(row["created_at"]),
        title=row["title"],
        format=row["format"],
        priority=row["priority"],
        tags=_json(row["tags"]),
        data=_json(row["data"]),
        to=_json(row["recipients"]),
        reference=row["reference"],
        metadata=_json(row["metadata"]),
        attachments=_files(row["attachments"]),
        sender=row["sender"],
        send_at=row["send_at"] and read_timestamp(row["send_at"]),
        expires_at=row["expires_at"] and read_timestamp(row["expires_at"]),
        collapse_key=row["collapse_key"],
        traceparent=row["traceparent"],
    )


def _files(value: Any) -> tuple[AttachedFile, ...]:
    return () if value is None else tuple(AttachedFile(**one) for one in _json(value))


def _json(value: Any) -> Any:
    """Read what either database returned for JSON, which is its text."""
    if value == "[]":
        return []
    if value == "{}":
        return {}
    return json.loads(value) if isinstance(value, str) else value
