"""What is due, read without a transaction: the looks that cost nothing when there is nothing."""

from __future__ import annotations

from datetime import datetime, timedelta

from almenara.database import Database, read_timestamp

#: In their order, or PostgreSQL's generic plan reads the whole table to find that there is none.
_ANY_EXPIRED = """
SELECT id FROM delivery WHERE status = 'pending' AND expires_at <= $1 ORDER BY expires_at LIMIT 1
"""

#: When the next delivery of each channel and priority is due: one look into the partial index each.
_NEXT_DUE = """
SELECT * FROM (
    SELECT channel.name AS channel, (
        SELECT due_at FROM delivery
        WHERE delivery.status = 'pending' AND delivery.channel = channel.name
            AND delivery.priority = p.priority
        ORDER BY due_at LIMIT 1
    ) AS due_at
    FROM channel CROSS JOIN (
        SELECT 1 AS priority UNION ALL SELECT 2 UNION ALL SELECT 3
        UNION ALL SELECT 4 UNION ALL SELECT 5
    ) AS p
) AS next WHERE due_at IS NOT NULL
"""


async def any_expired(database: Database, now: datetime) -> bool:
    """Tell whether something waits whose time is over."""
    return bool(await database.fetch(_ANY_EXPIRED, now))


async def next_due(database: Database) -> dict[str, datetime]:
    """Return when each channel's next delivery is due."""
    moments: dict[str, datetime] = {}
    for row in await database.fetch(_NEXT_DUE):
        moment = read_timestamp(row["due_at"])
        known = moments.get(row["channel"])
        moments[row["channel"]] = moment if known is None else min(known, moment)
    return moments


def seconds_until(moment: datetime, now: datetime) -> float:
    """Return how long it is until a moment, in seconds; 0 when it has passed."""
    return max((moment - now) / timedelta(seconds=1), 0.0)
