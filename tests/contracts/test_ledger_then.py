"""What the ledger does for a waiter however it ends, over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

import pytest

from almenara.database import Database, Transaction
from almenara.errors import UnavailableError
from almenara.ledger import Ledger
from almenara.settings import Settings
from tests.stored import opened_database


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with opened_database(settings) as one:
        yield one


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    one = Ledger(database, capacity=2)
    one.start()
    yield one
    await one.close()


async def double(_transaction: Transaction, payloads: Sequence[int]) -> Sequence[int]:
    """Return an answer for each payload; zero breaks the batch that it is in."""
    if 0 in payloads:
        raise ValueError("zero")
    return [2 * one for one in payloads]


async def test_it_hears_of_what_is_committed_and_of_what_is_not(ledger: Ledger) -> None:
    heard: list[int | None] = []
    futures = [ledger.submit(double, number, then=heard.append) for number in (1, 0)]
    assert await futures[0] == 2
    with pytest.raises(ValueError, match="zero"):
        await futures[1]
    await asyncio.sleep(0)
    assert heard == [2, None]


async def test_it_hears_of_it_though_the_waiter_gave_up(ledger: Ledger) -> None:
    heard: list[int | None] = []
    waiter = asyncio.create_task(ledger.write(double, 1, then=heard.append))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await ledger.write(double, 2) == 4
    assert heard == [2]


async def test_it_hears_of_what_was_refused_at_once(ledger: Ledger) -> None:
    heard: list[int | None] = []
    for number in (1, 2):
        ledger.submit(double, number)
    with pytest.raises(UnavailableError, match="Too many requests wait"):
        await ledger.write(double, 3, then=heard.append)
    await ledger.close()
    with pytest.raises(UnavailableError, match="The server is stopping"):
        await ledger.write(double, 4, then=heard.append, urgent=True)
    await asyncio.sleep(0)
    assert heard == [None, None]


async def test_its_fault_is_told_and_hurts_nobody(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(_answer: int | None) -> None:
        raise RuntimeError("it fell over")

    with caplog.at_level(logging.ERROR):
        assert await ledger.write(double, 1, then=break_down) == 2
        assert await ledger.write(double, 2) == 4
    assert "it fell over" in caplog.text
