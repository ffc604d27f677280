"""What waits in the database, by channel, and which channels are paused; for `/metrics`.

It is read when somebody asks, by looks into indexes that hold only what waits, and kept for a
while: who asks often costs the database no more than who asks now and then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from almenara.database import Database, Dialect
from almenara.figures import DATABASE_UP, MOST_PENDING, OLDEST_DUE, PAUSED, PENDING, Key
from almenara.limits import PauseReason
from almenara.queues.due import next_due
from almenara.telemetry import get_logger

log = get_logger("backlog")

#: What was read is kept for so long, in seconds: for so many times what it took, within these.
_SHORTEST_KEPT, _LONGEST_KEPT = 3.0, 30.0
_KEPT_TIMES = 50
#: The database must answer within so many seconds.
_DATABASE_SECONDS = 2.0

#: One look into the partial index of what waits for each channel.
_PENDING = """
SELECT channel.name AS channel, (
    SELECT count(*) FROM (
        SELECT 1 FROM delivery
        WHERE delivery.status = 'pending' AND delivery.channel = channel.name
        {order} LIMIT {most}
    ) AS waiting
) AS pending_count
FROM channel
"""
#: SQLite takes that index only for its order; else it reads all that waits, for each channel anew.
#: PostgreSQL takes it anyhow, and would sort.
_ORDERS: dict[Dialect, str] = {
    "sqlite": "ORDER BY delivery.priority, delivery.due_at",
    "postgres": "",
}

_PAUSED = """
SELECT channel.name AS channel, channel_state.reason AS reason FROM channel
LEFT JOIN channel_state ON channel_state.channel_id = channel.id
    AND channel_state.state = 'paused'
"""


def pending_statement(dialect: Dialect) -> str:
    """Return the statement that counts what waits for each channel."""
    return _PENDING.format(order=_ORDERS[dialect], most=MOST_PENDING)


class Backlog:
    """Reads what waits, for whoever asks at about the same time."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._reading = asyncio.Lock()
        self._known: dict[Key, float] = {}
        self._good_until = 0.0

    async def read(self) -> dict[Key, float]:
        """Return the gauges of the database, by name and labels."""
        async with self._reading:
            begun = time.monotonic()
            if begun >= self._good_until:
                self._known = await self._read_or_tell()
                now = time.monotonic()
                kept = max(_SHORTEST_KEPT, _KEPT_TIMES * (now - begun))
                self._good_until = now + min(kept, _LONGEST_KEPT)
        return self._known

    async def _read_or_tell(self) -> dict[Key, float]:
        try:
            async with asyncio.timeout(_DATABASE_SECONDS):
                return {(DATABASE_UP,): 1} | await self._read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other figures are told
            log.warning("database_unavailable", error=type(error).__name__)
            return {(DATABASE_UP,): 0}

    async def _read(self) -> dict[Key, float]:
        found: dict[Key, float] = {}
        for row in await self._database.fetch(pending_statement(self._database.dialect)):
            found[PENDING, row["channel"]] = row["pending_count"]
            found[OLDEST_DUE, row["channel"]] = 0
        now = self._clock()
        for channel, moment in (await next_due(self._database)).items():
            found[OLDEST_DUE, channel] = max(0.0, (now - moment) / timedelta(seconds=1))
        for row in await self._database.fetch(_PAUSED):
            for reason in PauseReason:
                found[PAUSED, row["channel"], reason.value] = row["reason"] == reason.value
        return found
