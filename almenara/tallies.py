"""The server's own charts: what was accepted and tried, minute by minute, for a day.

Each process counts in memory and adds what is new to one table, every ten seconds at the most; an
idle one writes nothing. The table is no part of the log, of which the ledger and ``deliveries`` are
the only writers: it may be emptied at any time, a process that is killed loses its last ten
seconds of it, and a write whose outcome is not known may be counted twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from almenara import figures
from almenara.database import Database, Dialect, Transaction
from almenara.figures import Series
from almenara.ledger import Ledger
from almenara.models import new_id
from almenara.telemetry import get_logger

log = get_logger("tallies")

Period = Literal["hour", "day"]

#: What is new is stored so often, in seconds.
_WRITE_SECONDS = 10.0
#: At its end a process waits no longer than this for the database, in seconds.
_ENDING_SECONDS = 2.0
#: What is older is deleted, about once an hour.
KEPT = timedelta(hours=25)
_TIDY_SECONDS = 3600.0
#: How long a period is, and its steps.
_LENGTHS: dict[Period, tuple[timedelta, timedelta]] = {
    "hour": (timedelta(hours=1), timedelta(minutes=1)),
    "day": (timedelta(days=1), timedelta(minutes=15)),
}
#: What was read is kept for so many times what it took, within these, in seconds.
_KEPT_TIMES, _SHORTEST_KEPT, _LONGEST_KEPT = 50, 0.5, 30.0

_ADD = """
INSERT INTO tally (id, minute, topic, channel, outcome, reason, count)
SELECT id, minute, topic, channel, outcome, reason, count FROM {source} WHERE true
ON CONFLICT (minute, topic, channel, outcome, reason)
DO UPDATE SET count = tally.count + excluded.count
"""
#: Seconds since 1970, of a minute.
_EPOCHS: dict[Dialect, str] = {
    "sqlite": "CAST(strftime('%s', minute) AS INTEGER)",
    "postgres": "CAST(extract(epoch FROM minute) AS BIGINT)",
}
_READ = """
SELECT ({epoch} - $3) / $4 AS step, topic, channel, outcome, reason,
    CAST(sum(count) AS BIGINT) AS count
FROM tally WHERE minute >= $1 AND minute < $2
GROUP BY 1, topic, channel, outcome, reason
"""


def reading_statement(dialect: Dialect) -> str:
    """Return the statement that adds up what was counted in each step of a span of time."""
    return _READ.format(epoch=_EPOCHS[dialect])


@dataclass(frozen=True, slots=True)
class Chart:
    """What was counted in the steps of a span of time."""

    start: datetime
    end: datetime
    step: timedelta
    #: How often each happened, in each step.
    counts: dict[Series, list[int]]


class Tallies:
    """Stores what this process counts, and reads what all of them stored."""

    def __init__(
        self, database: Database, ledger: Ledger, *, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._tidied_at = time.monotonic() - _TIDY_SECONDS
        self._reading = asyncio.Lock()
        self._read: dict[Period, tuple[float, Chart]] = {}

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Store what is new until the block ends, and once more at its end."""
        ending = asyncio.Event()
        task = asyncio.create_task(self._keep(ending), name="tallies")
        try:
            yield
        finally:
            ending.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(_ENDING_SECONDS):
                    await task

    async def write(self) -> None:
        """Store what is new, if anything is; what cannot be stored is kept for the next time."""
        taken = figures.take_tallies()
        if not taken:
            return
        stored = False
        try:
            await self._ledger.run(lambda transaction: self._add(transaction, taken))
            stored = True
        except Exception as error:  # noqa: BLE001 - whatever it is, no charts are worth a failure
            log.debug("tallies_not_stored", reason=str(error)[:200])
        finally:
            if not stored:
                figures.put_back_tallies(taken)

    async def read(self, period: Period) -> Chart:
        """Return what was counted in the last hour or day; its last step is the present one."""
        async with self._reading:
            begun = time.monotonic()
            good_until, chart = self._read.get(period, (0.0, None))
            if chart is None or begun >= good_until:
                chart = await self._chart(period)
                now = time.monotonic()
                kept = max(_SHORTEST_KEPT, _KEPT_TIMES * (now - begun))
                self._read[period] = now + min(kept, _LONGEST_KEPT), chart
        return chart

    async def _keep(self, ending: asyncio.Event) -> None:
        while not ending.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_WRITE_SECONDS):
                    await ending.wait()
            await self.write()

    async def _add(self, transaction: Transaction, taken: dict[Series, int]) -> None:
        now = self._clock()
        minute = now.replace(second=0, microsecond=0)
        source, values = transaction.rows(
            {
                "id": "uuid",
                "minute": "timestamptz",
                "topic": "text",
                "channel": "text",
                "outcome": "text",
                "reason": "text",
                "count": "integer",
            },
            # In one order, in which no two processes wait for each other.
            [(new_id(), minute, *series, count) for series, count in sorted(taken.items())],
        )
        await transaction.execute(_ADD.format(source=source), *values)
        if time.monotonic() - self._tidied_at >= _TIDY_SECONDS:
            self._tidied_at = time.monotonic()
            figures.forget_series()
            await transaction.execute("DELETE FROM tally WHERE minute < $1", now - KEPT)

    async def _chart(self, period: Period) -> Chart:
        length, step = _LENGTHS[period]
        seconds = int(step.total_seconds())
        end_second = (int(self._clock().timestamp()) // seconds + 1) * seconds
        end = datetime.fromtimestamp(end_second, UTC)
        start = end - length
        rows = await self._database.fetch(
            reading_statement(self._database.dialect),
            *(start, end, int(start.timestamp()), seconds),
        )
        counts: dict[Series, list[int]] = {}
        for row in rows:
            series = Series(row["topic"], row["channel"], row["outcome"], row["reason"])
            steps = counts.setdefault(series, [0] * (length // step))
            steps[int(row["step"])] += int(row["count"])
        return Chart(start, end, step, counts)
