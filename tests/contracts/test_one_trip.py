"""The work of one transaction in one go: committed whole, or not at all, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from almenara.database import Database, Transaction, open_database
from almenara.settings import Settings


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    one = await open_database(settings)
    async with one.transaction() as transaction:
        await transaction.execute("CREATE TABLE thing (number INT UNIQUE)")
    yield one
    await one.close()


async def numbers(database: Database) -> list[int]:
    return [row["number"] for row in await database.fetch("SELECT number FROM thing")]


async def test_what_it_returns_comes_back_and_its_rows_stay(database: Database) -> None:
    async def work(transaction: Transaction) -> str:
        await transaction.insert("thing", {"number": "integer"}, [(1,), (2,)])
        rows = await transaction.fetch("SELECT number FROM thing ORDER BY number")
        assert [row["number"] for row in rows] == [1, 2]
        assert await transaction.execute("UPDATE thing SET number = number + 10") == 2
        return "done"

    assert await database.write(work) == "done"
    assert sorted(await numbers(database)) == [11, 12]


async def test_what_it_raises_takes_everything_back_and_the_next_one_begins_anew(
    database: Database,
) -> None:
    async def broken(transaction: Transaction) -> None:
        await transaction.insert("thing", {"number": "integer"}, [(1,)])
        raise KeyError("broken")

    async def fine(transaction: Transaction) -> None:
        await transaction.insert("thing", {"number": "integer"}, [(2,)])

    with pytest.raises(KeyError, match="broken"):
        await database.write(broken)
    await database.write(fine)
    assert await numbers(database) == [2]


async def test_on_sqlite_it_waits_for_nothing_but_its_statements(database: Database) -> None:
    async def waiting(transaction: Transaction) -> None:
        await transaction.insert("thing", {"number": "integer"}, [(1,)])
        await asyncio.sleep(0)

    if database.dialect == "postgres":
        await database.write(waiting)
        assert await numbers(database) == [1]
        return
    with pytest.raises(RuntimeError, match="waits for something besides its statements"):
        await database.write(waiting)
    assert await numbers(database) == []


async def test_whoever_gives_up_waiting_leaves_it_whole(database: Database) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.insert("thing", {"number": "integer"}, [(1,)])
        await transaction.insert("thing", {"number": "integer"}, [(2,)])

    writing = asyncio.create_task(database.write(work))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)

    async def another(transaction: Transaction) -> None:
        await transaction.insert("thing", {"number": "integer"}, [(3,)])

    await database.write(another)
    assert sorted(await numbers(database)) in ([3], [1, 2, 3])


def test_what_no_column_can_hold_is_refused() -> None:
    transaction = Transaction(None, "sqlite")  # type: ignore[arg-type]  # nothing is executed
    with pytest.raises(TypeError, match="object cannot be stored in a column"):
        transaction.rows({"number": "integer"}, [(object(),)])
