"""Drills in the transactions that claim and record them, over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from almenara.database import Database, Transaction
from almenara.errors import NotFoundError
from almenara.limits import (
    Drilled,
    DrillOutcome,
    DueDrill,
    LastDrill,
    ask_for_drill,
    claim_drills,
    find_due,
    pause,
    read_states,
    record_drill,
    resume,
    schedule_drill,
)
from almenara.models import Channel
from almenara.news import News, SystemTopic
from almenara.settings import Settings
from tests.databases import BOTH
from tests.stored import NOW, SECOND, add_channel, in_transaction, opened_database

MINUTE = timedelta(minutes=1)
OK = Drilled(DrillOutcome.OK, "It is lit.", 7)
FAILED = Drilled(DrillOutcome.FAILED, "It is away.", 8)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with opened_database(settings) as one:
        yield one


async def channel(database: Database, name: str = "team", **fields: Any) -> Channel:
    channel_id = await add_channel(database, name)
    for column, value in fields.items():
        async with database.transaction() as transaction:
            await transaction.execute(
                f"UPDATE channel SET {column} = $1 WHERE id = $2", value, channel_id
            )
    return await Channel.get(id=channel_id).using_db(database.reader)


async def ask(database: Database, one: Channel, now: datetime = NOW) -> int:
    return await in_transaction(database, partial(ask_for_drill, channel=one, now=now))


async def schedule(database: Database, one: Channel, spread: float = 0.5) -> None:
    work = partial(schedule_drill, channel=one, now=NOW, spread=spread)
    await in_transaction(database, work)


async def claimed(database: Database, now: datetime = NOW) -> list[DueDrill]:
    due = await find_due(database, now)
    return await in_transaction(database, partial(claim_drills, due=due, now=now))


async def record(
    database: Database, claim: DueDrill, drilled: Drilled, *, revision: int = 1, spread: float = 0
) -> list[News]:
    async def work(transaction: Transaction) -> list[News]:
        await record_drill(transaction, claim, drilled, revision=revision, now=NOW, spread=spread)
        return transaction.news

    return await in_transaction(database, work)


async def last(database: Database, one: Channel) -> LastDrill:
    [state] = await read_states(database, [one.id])
    return state.drill


async def test_a_drill_that_is_due_is_one_processs(database: Database) -> None:
    one = await channel(database)
    assert await ask(database, one) == 0
    due = await find_due(database, NOW)
    claims = [
        await in_transaction(database, partial(claim_drills, due=due, now=NOW)) for _ in range(2)
    ]
    [[mine], theirs] = claims
    assert (mine.channel, theirs) == ("team", [])
    assert mine.due_at == NOW + timedelta(seconds=15) + timedelta(seconds=30)
    assert await find_due(database, mine.due_at - SECOND) == []
    # Its process has died.
    assert [again.channel_id for again in await claimed(database, mine.due_at)] == [one.id]


@pytest.mark.parametrize("settings", [BOTH[1]], indirect=True)
async def test_what_another_process_is_claiming_is_not_waited_for(database: Database) -> None:
    one = await channel(database)
    await ask(database, one)
    due = await find_due(database, NOW)
    async with database.transaction() as first:
        assert len(await claim_drills(first, due, now=NOW)) == 1
        async with asyncio.timeout(5):
            assert await in_transaction(database, partial(claim_drills, due=due, now=NOW)) == []


async def test_the_longest_waiting_comes_first(database: Database) -> None:
    for name, age in (("a", 1), ("b", 3), ("c", 2)):
        await ask(database, await channel(database, name), NOW - age * SECOND)
    assert [due.channel for due in await find_due(database, NOW)] == ["b", "c", "a"]


async def test_what_it_came_to_is_kept_and_the_next_is_due(database: Database) -> None:
    one = await channel(database, verify_every="1h")
    await ask(database, one)
    [claim] = await claimed(database)
    await record(database, claim, OK, spread=1)
    assert await last(database, one) == LastDrill(
        due_at=NOW + 1.2 * timedelta(hours=1),
        count=1,
        verified_at=NOW,
        outcome="ok",
        detail="It is lit.",
        duration_ms=7,
    )


async def test_without_a_schedule_none_is_due(database: Database) -> None:
    for fields in ({}, {"verify_every": "1h", "enabled": False}):
        one = await channel(database, f"team{len(fields)}", **fields)
        await ask(database, one)
        [claim] = await claimed(database)
        await record(database, claim, OK)
        assert (await last(database, one)).due_at is None


async def test_what_was_asked_for_meanwhile_stays_due(database: Database) -> None:
    one = await channel(database)
    await ask(database, one)
    [claim] = await claimed(database)
    assert await ask(database, one, NOW + SECOND) == 0
    await record(database, claim, OK)
    assert (await last(database, one)).due_at == NOW + SECOND


async def test_of_a_channel_that_was_written_meanwhile_nothing_is_kept(database: Database) -> None:
    one = await channel(database, revision=2)
    await ask(database, one)
    [claim] = await claimed(database)
    assert await record(database, claim, FAILED, revision=1) == []
    assert await last(database, one) == LastDrill(due_at=NOW)


async def test_a_channel_that_was_deleted_is_not_drilled(database: Database) -> None:
    one = await channel(database)
    await ask(database, one)
    [claim] = await claimed(database)
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM channel_state")
        await transaction.execute("DELETE FROM channel")
    assert await record(database, claim, FAILED) == []
    with pytest.raises(NotFoundError):
        await ask(database, one)
    assert await database.fetch("SELECT * FROM channel_state") == []


async def test_each_change_is_news_once(database: Database) -> None:
    one = await channel(database)
    none = Drilled(DrillOutcome.UNSUPPORTED, None, 0)
    told: list[str | None] = []
    for drilled in (OK, FAILED, FAILED, OK, OK, none, FAILED, none, FAILED):
        await ask(database, one)
        [claim] = await claimed(database)
        news = await record(database, claim, drilled)
        told += [each.topic.value for each in news] or [None]
    failed, recovered = SystemTopic.DRILL_FAILED.value, SystemTopic.DRILL_RECOVERED.value
    assert told == [None, failed, None, recovered, None, None, failed, None, failed]


async def test_a_channel_that_is_written_is_drilled_within_a_minute(database: Database) -> None:
    one = await channel(database, verify_every="1h")
    for spread in (0.0, 0.25, 1.0):
        await schedule(database, one, spread)
        assert (await last(database, one)).due_at == NOW + spread * MINUTE
    one.enabled = False
    await schedule(database, one)
    assert (await last(database, one)).due_at is None


async def test_pausing_and_resuming_leave_the_drills_alone(database: Database) -> None:
    one = await channel(database, verify_every="1h")
    await ask(database, one)
    [claim] = await claimed(database)
    await record(database, claim, FAILED)
    before = await last(database, one)
    await in_transaction(database, partial(pause, channel=one, detail=None, now=NOW))
    assert await last(database, one) == before
    await in_transaction(database, partial(resume, channel=one, now=NOW))
    assert await last(database, one) == before


async def test_a_moment_that_no_schedule_makes_is_due(database: Database) -> None:
    one = await channel(database)
    await ask(database, one, NOW + timedelta(days=365))
    assert [due.channel_id for due in await find_due(database, NOW)] == [one.id]
