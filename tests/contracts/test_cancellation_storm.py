"""Tasks are cancelled at every moment of a transaction, and the database goes on."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tortoise.context import TortoiseContext

from almenara.database import Database, open_database
from almenara.settings import Settings

CANCELLATIONS = 3_000
#: So many tasks want to write at once: alone, a task is hit while its transaction begins; in a
#: crowd, while it waits for its turn.
CROWDS = (1, 10)
#: A query must answer within so many seconds, or the database is taken for stuck.
PATIENCE_SECONDS = 3

READERS = 10
#: The size of the pool that writes on PostgreSQL.
POSTGRES_WRITERS = 4

PHASES = ("entering", "inside", "leaving")


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    one = await open_database(settings)
    async with one.transaction() as transaction:
        await transaction.execute("CREATE TABLE storm (number INTEGER, half INTEGER)")
    yield one
    await one.close()


class Writer:
    """A task that writes two rows in one transaction, and tells where it stands."""

    def __init__(self, database: Database, number: int) -> None:
        self._database = database
        self._number = number
        self.reached = {phase: asyncio.Event() for phase in PHASES}
        self.phase = ""
        self.written = False

    async def write(self) -> None:
        self._reach("entering")
        async with self._database.transaction() as transaction:
            self._reach("inside")
            for half in (1, 2):
                await transaction.execute("INSERT INTO storm VALUES ($1, $2)", self._number, half)
            self._reach("leaving")
        self.written = True

    def _reach(self, phase: str) -> None:
        self.phase = phase
        self.reached[phase].set()


async def cancelled_at_random(
    database: Database, number: int, chance: random.Random
) -> tuple[str, bool]:
    """Let a writer begin, cancel it, and return where that hit it and whether it had ended."""
    writer = Writer(database, number)
    task = asyncio.create_task(writer.write())
    # Some wait for the phase, so that each is hit often; the others are hit anywhere.
    if chance.random() < 0.7:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await writer.reached[chance.choice(PHASES)].wait()
    if chance.random() < 0.3:
        await asyncio.sleep(chance.random() / 500)
    for _ in range(chance.randrange(4)):
        await asyncio.sleep(0)
    task.cancel()
    if chance.random() < 0.3:
        await asyncio.sleep(0)
        task.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.wait([task])
    if not task.cancelled() and task.exception() is not None:
        raise AssertionError("a cancelled writer failed otherwise") from task.exception()
    return writer.phase, writer.written


async def test_the_database_answers_after_a_storm_of_cancellations(database: Database) -> None:
    chance = random.Random(2026)
    hit: Counter[str] = Counter()
    written: list[int] = []

    async def one_of_the_crowd(numbers: Iterator[int]) -> None:
        for number in numbers:
            phase, ended = await cancelled_at_random(database, number, chance)
            hit[phase] += 1
            if ended:
                written.append(number)

    share = CANCELLATIONS // len(CROWDS)
    for index, crowd in enumerate(CROWDS):
        numbers = iter(range(index * share, (index + 1) * share))
        await asyncio.gather(*(one_of_the_crowd(numbers) for _ in range(crowd)))

    async with asyncio.timeout(PATIENCE_SECONDS):
        halves = await database.fetch(
            "SELECT number, COUNT(*) AS halves FROM storm GROUP BY number ORDER BY number"
        )
    async with asyncio.timeout(PATIENCE_SECONDS), database.transaction() as transaction:
        await transaction.execute("INSERT INTO storm VALUES (-1, 1)")
    assert min(hit[phase] for phase in PHASES) > CANCELLATIONS / 20, hit
    assert {row["halves"] for row in halves} == {2}, "a transaction was written by half"
    assert set(written) <= {row["number"] for row in halves}, "a committed transaction is lost"
    [row] = await database.fetch("SELECT COUNT(*) AS number FROM storm WHERE number = -1")
    assert row["number"] == 1
    await every_connection_can_be_had(database)


async def every_connection_can_be_had(database: Database) -> None:
    """Open as many transactions at once as there are connections for, and end them."""
    connections = POSTGRES_WRITERS if database.dialect == "postgres" else 1
    async with asyncio.timeout(PATIENCE_SECONDS), AsyncExitStack() as stack:
        for _ in range(connections):
            transaction = await stack.enter_async_context(database.transaction())
            assert await transaction.fetch("SELECT 1 AS one") == [{"one": 1}]


async def test_reading_goes_on_after_a_storm_of_cancelled_readers(database: Database) -> None:
    chance = random.Random(2027)
    ends: Counter[bool] = Counter()

    async def one_of_the_crowd() -> None:
        for _ in range(CANCELLATIONS // READERS // 3):
            task = asyncio.create_task(database.fetch("SELECT COUNT(*) AS rows FROM storm"))
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            ends[task.cancelled()] += 1

    async with asyncio.timeout(10 * PATIENCE_SECONDS):
        await asyncio.gather(*(one_of_the_crowd() for _ in range(READERS)))
    async with asyncio.timeout(PATIENCE_SECONDS):
        answers = await asyncio.gather(
            *(database.fetch("SELECT COUNT(*) AS rows FROM storm") for _ in range(READERS))
        )
    assert answers == [[{"rows": 0}]] * READERS
    assert ends[True] > CANCELLATIONS / 6, ends


async def test_what_waited_behind_a_cancelled_writer_is_written(database: Database) -> None:
    first, second = Writer(database, 1), Writer(database, 2)
    first_task = asyncio.create_task(first.write())
    await first.reached["inside"].wait()
    second_task = asyncio.create_task(second.write())
    await second.reached["entering"].wait()
    first_task.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await second_task
    with pytest.raises(asyncio.CancelledError):
        await first_task
    rows = await database.fetch("SELECT DISTINCT number FROM storm")
    assert [row["number"] for row in rows] == [2]


async def test_tortoises_own_client_keeps_its_lock_for_ever(tmp_path: Path) -> None:
    """The fault that our engines cure; when this fails, they may have become needless."""
    credentials = {"file_path": str(tmp_path / "twin.sqlite3")}
    context = TortoiseContext()
    with context:
        context.connections._init_config(
            {"twin": {"engine": "tortoise.backends.sqlite", "credentials": credentials}}
        )
        client = context.connections.get("twin")
        await client.execute_query("SELECT 1")

        async def enter() -> None:
            async with client._in_transaction():
                raise AssertionError("it was to be cancelled while it entered")

        task = asyncio.create_task(enter())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), client._in_transaction():
                pass
        await context.close_connections()
