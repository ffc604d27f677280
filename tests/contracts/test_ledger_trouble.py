"""The ledger while the database cannot write: refused, never lost, and well again afterwards."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from almenara.database import Database, Transaction
from almenara.errors import UnavailableError
from almenara.ledger import Ledger, accept_messages
from almenara.settings import Settings
from tests.serving import make_settings
from tests.stored import a_plan, count, is_stored, opened_database

PATIENCE_SECONDS = 20

only_on_postgres = pytest.mark.parametrize(
    "settings", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with opened_database(settings) as one:
        yield one


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    one = Ledger(database)
    one.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        yield one
        await one.close()


async def test_a_full_disk_refuses_everybody_and_stores_nothing_until_there_is_room(
    tmp_path: Path,
) -> None:
    big = "x" * 100_000
    async with opened_database(make_settings(tmp_path)) as database:
        ledger = Ledger(database)
        ledger.start()
        [row] = await database.writer.execute_query_dict("PRAGMA page_count")
        await database.writer.execute_query(f"PRAGMA max_page_count = {row['page_count']}")
        for _ in range(2):
            answers = await asyncio.gather(
                *(ledger.write(accept_messages, a_plan(description=big)) for _ in range(5)),
                return_exceptions=True,
            )
            assert [type(answer) for answer in answers] == [UnavailableError] * 5
            assert "full" in str(answers[0].__cause__)  # type: ignore[union-attr]  # an error
        assert await count(database, "message") == 0

        await database.writer.execute_query("PRAGMA max_page_count = 1000000")
        assert await is_stored(ledger, a_plan(description=big))
        assert await count(database, "message") == 1
        await ledger.close()


@only_on_postgres
async def test_a_connection_that_is_cut_during_a_transaction_is_refused_and_made_anew(
    database: Database, ledger: Ledger
) -> None:
    plan = a_plan()

    async def cut_off(transaction: Transaction) -> None:
        await accept_messages(transaction, [plan])
        [row] = await transaction.fetch("SELECT pg_backend_pid() AS pid")
        await database.fetch("SELECT pg_terminate_backend($1)", row["pid"])
        await transaction.fetch("SELECT 1")

    with pytest.raises(UnavailableError):
        await ledger.run(cut_off)
    assert await count(database, "message") == 0
    assert await is_stored(ledger, plan)
    assert await count(database, "message") == 1


@only_on_postgres
async def test_connections_that_are_cut_while_nobody_uses_them_are_made_anew(
    database: Database, ledger: Ledger
) -> None:
    pids = [
        row["pid"]
        for row in await database.fetch(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    ]
    for pid in pids:
        await database.fetch("SELECT pg_terminate_backend($1)", pid)

    async def accepted() -> bool:
        try:
            return await is_stored(ledger, a_plan())
        except UnavailableError:
            return False

    while not await accepted():
        await asyncio.sleep(0.01)
    assert await count(database, "message") == 1
    assert pids


@only_on_postgres
async def test_a_server_that_takes_no_writes_refuses_and_is_used_again_when_it_does(
    database: Database, ledger: Ledger
) -> None:
    """As it is for a while after a failover: the server is there, and only reads."""

    async def read_only(transaction: Transaction) -> None:
        await transaction.execute("SET TRANSACTION READ ONLY")
        await accept_messages(transaction, [a_plan()])

    with pytest.raises(UnavailableError):
        await ledger.run(read_only)
    assert await count(database, "message") == 0
    assert await is_stored(ledger, a_plan())


class Crossing:
    """Locks two rows one after the other, as two transactions do that stand in each other's way."""

    def __init__(self, *, times: int) -> None:
        self.first_is_locked = asyncio.Event()
        self.tries = 0
        self._times = times

    async def __call__(self, transaction: Transaction, payloads: Sequence[int]) -> Sequence[int]:
        self.tries += 1
        await add(transaction, 1)
        if self.tries <= self._times:
            self.first_is_locked.set()
        await add(transaction, 2)
        return payloads


async def add(transaction: Transaction, row: int) -> None:
    await transaction.execute("UPDATE crossing SET number = number + 1 WHERE id = $1", row)


async def cross(database: Database, crossing: Crossing) -> None:
    """Lock the rows the other way round, once the ledger has one of them and waits for the other.

    The server ends the transaction that waited first: the ledger's.
    """
    async with database.transaction() as transaction:
        await transaction.execute("SET LOCAL deadlock_timeout = '15s'")
        await add(transaction, 2)
        await crossing.first_is_locked.wait()
        crossing.first_is_locked.clear()
        while not await database.fetch(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.01)
        await add(transaction, 1)


@pytest.fixture
async def crossing_table(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("CREATE TABLE crossing (id INTEGER, number INTEGER)")
        await transaction.execute("INSERT INTO crossing VALUES (1, 0), (2, 0)")


@only_on_postgres
@pytest.mark.usefixtures("crossing_table")
async def test_a_deadlock_is_tried_again_and_nobody_hears_of_it(
    database: Database, ledger: Ledger
) -> None:
    crossing = Crossing(times=1)
    other = asyncio.create_task(cross(database, crossing))
    await asyncio.sleep(0.05)
    assert await ledger.write(crossing, 7) == 7
    await other
    # Now and then the second try is quicker than the other one that waits, and collides again.
    assert crossing.tries >= 2
    rows = await database.fetch("SELECT number FROM crossing")
    assert [row["number"] for row in rows] == [2, 2]


@only_on_postgres
@pytest.mark.usefixtures("crossing_table")
async def test_an_endless_collision_is_refused_after_a_few_tries(
    database: Database, ledger: Ledger
) -> None:
    tries = 0

    async def collide(transaction: Transaction) -> None:
        nonlocal tries
        tries += 1
        await add(transaction, 1)
        # What the server itself says when it cannot put transactions in an order.
        await transaction.execute("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")

    with pytest.raises(UnavailableError):
        await ledger.run(collide)
    assert tries == 4
    rows = await database.fetch("SELECT number FROM crossing")
    assert [row["number"] for row in rows] == [0, 0]
    assert await is_stored(ledger, a_plan())


async def test_a_waiter_that_went_away_before_its_write_failed_leaves_no_complaint(
    database: Database, ledger: Ledger
) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    plan = a_plan()
    assert await is_stored(ledger, plan)
    waiter = asyncio.create_task(ledger.write(accept_messages, plan))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await is_stored(ledger, a_plan())
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
    assert await count(database, "message") == 2


async def test_while_the_database_is_away_a_batch_is_refused_at_once_and_not_one_by_one(
    database: Database, ledger: Ledger
) -> None:
    batches: list[Sequence[int]] = []

    async def away(_transaction: Transaction, payloads: Sequence[int]) -> Sequence[int]:
        batches.append(payloads)
        raise ConnectionResetError("the server went away")

    futures = [ledger.submit(away, number) for number in range(3)]
    answers = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(answer) for answer in answers] == [UnavailableError] * 3
    assert [list(batch) for batch in batches] == [[0, 1, 2]]
    assert await is_stored(ledger, a_plan())
