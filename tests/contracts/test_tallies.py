"""The charts' table: what several processes add to it, and what is read out of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from almenara import figures
from almenara.database import Database
from almenara.figures import Series, tallying
from almenara.figures.counting import count_attempt, count_batch, count_rescued, histograms
from almenara.figures.described import BATCHES
from almenara.ledger import Ledger
from almenara.settings import Settings
from almenara.tallies import KEPT, Tallies, reading_statement
from tests.serving import make_settings
from tests.stored import opened_database

NOW = datetime(2026, 11, 29, 12, 7, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SENT = Series("sales", "team", "sent", "")


@pytest.fixture(autouse=True)
def _nothing_of_others() -> None:
    """Other tests of this process count, too."""
    figures.take_tallies()
    figures.forget_series()


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """A database with its tables."""
    async with opened_database(settings) as one:
        yield one


class Counter:
    """One process that counts, and its clock."""

    def __init__(self, database: Database, now: datetime = NOW) -> None:
        self.now = now
        self.ledger = Ledger(database)
        self.ledger.start()
        self.tallies = Tallies(database, self.ledger, clock=lambda: self.now)

    async def count(self, count: int = 1) -> None:
        for _ in range(count):
            count_attempt("team", "sent", 0.1, topic="sales")
        await self.tallies.write()

    async def close(self) -> None:
        await self.ledger.close()


async def rows(database: Database) -> int:
    [row] = await database.fetch("SELECT count(*) AS n FROM tally")
    return int(row["n"])


async def test_processes_add_to_the_same_minute(database: Database) -> None:
    one, other = Counter(database), Counter(database)
    await one.count(2)
    await other.count(3)
    assert await rows(database) == 1
    one.now += MINUTE
    await one.count()
    # One that is idle writes nothing.
    batches = list(histograms[BATCHES,].counts)
    await other.tallies.write()
    assert list(histograms[BATCHES,].counts) == batches
    assert await rows(database) == 2
    hour = await one.tallies.read("hour")
    assert (hour.start, hour.end) == (NOW - 58.5 * MINUTE, NOW + 1.5 * MINUTE)
    assert hour.counts == {SENT: [0] * 58 + [5, 1]}
    day = await other.tallies.read("day")
    assert (day.end, day.end - day.start) == (NOW + 7.5 * MINUTE, timedelta(days=1))
    assert day.counts == {SENT: [0] * 95 + [6]}
    for each in (one, other):
        await each.close()


async def test_everything_is_told_apart(database: Database) -> None:
    one = Counter(database)
    count_batch(3, ["sales", None, "sales"], 0.1)
    count_attempt("team", "permanent_error", 0.1, topic="sales", reason="permanent")
    count_rescued("team", "unknown", topic="sales", reason="poison")
    await one.tallies.write()
    sums = {
        series: sum(counts) for series, counts in (await one.tallies.read("hour")).counts.items()
    }
    assert sums == {
        Series("sales", "", "accepted", ""): 2,
        Series("", "", "accepted", ""): 1,
        Series("sales", "team", "permanent_error", "permanent"): 1,
        Series("sales", "team", "unknown", "poison"): 1,
    }
    await one.close()


async def test_what_is_old_is_deleted(database: Database) -> None:
    old = Counter(database, NOW - KEPT - MINUTE)
    await old.count()
    young = Counter(database)
    await young.count()
    assert await rows(database) == 1
    for each in (old, young):
        await each.close()


async def test_what_cannot_be_stored_is_kept(database: Database) -> None:
    one = Counter(database)
    await database.writer.execute_query("ALTER TABLE tally RENAME TO gone")
    await one.count(2)
    await database.writer.execute_query("ALTER TABLE gone RENAME TO tally")
    await one.count(3)
    assert (await one.tallies.read("hour")).counts == {SENT: [0] * 59 + [5]}
    await one.close()


async def test_what_is_new_at_the_end_is_stored(database: Database) -> None:
    one = Counter(database)
    async with one.tallies.kept():
        count_attempt("team", "sent", 0.1, topic="sales")
        await asyncio.sleep(0)
    assert await rows(database) == 1
    # Where the database no longer takes anything, it ends all the same.
    await one.close()
    async with one.tallies.kept():
        count_attempt("team", "sent", 0.1, topic="sales")
    assert figures.take_tallies() == {SENT: 1}


def test_too_many_series_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallying, "MOST_SERIES", 2)
    for topic in ("a", "b", "c", "d", "a"):
        count_batch(1, [topic], 0.1)
    count_attempt("team", "failed", 0.1, topic="a", reason="exhausted")
    assert figures.take_tallies() == {
        Series("a", "", "accepted", ""): 2,
        Series("b", "", "accepted", ""): 1,
        Series("(other)", "", "accepted", ""): 2,
        Series("(other)", "(other)", "failed", ""): 1,
    }
    figures.forget_series()
    count_batch(1, ["c"], 0.1)
    assert figures.take_tallies() == {Series("c", "", "accepted", ""): 1}


async def test_a_period_is_read_by_an_index(tmp_path: Path) -> None:
    async with opened_database(make_settings(tmp_path)) as database:
        plan = await database.fetch(
            f"EXPLAIN QUERY PLAN {reading_statement('sqlite')}", "x", "y", 0, 60
        )
    assert plan[0]["detail"] == (
        "SEARCH tally USING INDEX sqlite_autoindex_tally_2 (minute>? AND minute<?)"
    )
