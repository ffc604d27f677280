"""The trail: who changed what, written in the transaction of the change itself.

A change that is rolled back leaves no trace, and one that changes nothing writes none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from almenara.database import Transaction
from almenara.models import lowest_id, new_id

#: So many old traces are deleted in one transaction.
MOST_FORGOTTEN = 500


class Action(StrEnum):
    """What somebody did."""

    CHANNEL_CREATED = "channel.created"
    CHANNEL_CHANGED = "channel.changed"
    CHANNEL_DELETED = "channel.deleted"
    CHANNEL_PAUSED = "channel.paused"
    CHANNEL_RESUMED = "channel.resumed"
    CHANNEL_VERIFIED = "channel.verified"
    TOPIC_CREATED = "topic.created"
    TOPIC_CHANGED = "topic.changed"
    TOPIC_DELETED = "topic.deleted"
    MESSAGE_CANCELLED = "message.cancelled"
    MESSAGE_RESENT = "message.resent"
    DELIVERY_CANCELLED = "delivery.cancelled"
    DELIVERY_RELEASED = "delivery.released"
    DELIVERY_RESENT = "delivery.resent"
    REPLAY_CREATED = "replay.created"
    REPLAY_CANCELLED = "replay.cancelled"
    BACKUP_TAKEN = "backup.taken"


@dataclass(frozen=True, slots=True)
class Trace:
    """What somebody did to one thing.

    Args:
        thing: by its name or id; its kind is the action's.
        before: as it was, secrets masked; ``None``: it was not there, or nothing of it is said.
        after: as it is now.
    """

    action: Action
    thing: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None

    @property
    def object_name(self) -> str:
        """What it was done to, such as ``channel/team-slack``."""
        return f"{self.action.partition('.')[0]}/{self.thing}"


async def leave(transaction: Transaction, trace: Trace, *, by: str | None, at: datetime) -> None:
    """Write a trace.

    Args:
        by: the subject of the token; ``None``: none was asked for.
    """
    if trace.before is not None and trace.before == trace.after:
        return
    await transaction.insert(
        "audit",
        {
            "id": "uuid",
            "subject": "text",
            "action": "text",
            "object": "text",
            "before": "jsonb",
            "after": "jsonb",
            "created_at": "timestamptz",
        },
        [
            (
                new_id(),
                by,
                trace.action.value,
                trace.object_name,
                _written(trace.before),
                _written(trace.after),
                at,
            )
        ],
    )


async def forget(transaction: Transaction, *, before: datetime) -> int:
    """Delete some of what is old, and return how many traces."""
    rows = await transaction.fetch(
        f"""
        DELETE FROM audit WHERE id IN (
            SELECT id FROM audit WHERE id < $1 ORDER BY id LIMIT {MOST_FORGOTTEN}
        ) RETURNING id
        """,
        lowest_id(before),
    )
    return len(rows)


def _written(state: Mapping[str, Any] | None) -> str | None:
    return None if state is None else json.dumps(dict(state), default=str)
