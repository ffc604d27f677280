"""Rates and pauses in the transactions that claim and record, over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from almenara.database import Database, Row
from almenara.deliveries import Claim, Outcome, Status
from almenara.ledger import Claimed, ClaimRequest, Ledger, claim, record_results
from almenara.limits import resume
from almenara.models import Channel
from almenara.settings import Settings
from tests.databases import BOTH
from tests.stored import (
    NOW,
    SECOND,
    a_plan,
    a_result,
    add_channel,
    in_transaction,
    opened_database,
    statuses_of,
    store,
    stored,
)

postgres_only = pytest.mark.parametrize("settings", [BOTH[1]], indirect=True)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with opened_database(settings) as one:
        yield one


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    one = Ledger(database)
    one.start()
    yield one
    await one.close()


async def channel(database: Database, name: str = "team", **fields: Any) -> None:
    channel_id = await add_channel(database, name)
    for column, value in fields.items():
        async with database.transaction() as transaction:
            await transaction.execute(
                f"UPDATE channel SET {column} = $1 WHERE id = $2", value, channel_id
            )


async def want(ledger: Ledger, count: int, *names: str, now: datetime = NOW) -> Claimed:
    request = ClaimRequest([(name, count) for name in names or ("team",)], now)
    return await ledger.write(claim, request, urgent=True)


async def came_to(
    ledger: Ledger, claims: Sequence[Claim], status: Status, *, at: datetime = NOW, **fields: Any
) -> None:
    results = [a_result(one, status, at=at, **fields) for one in claims]
    await asyncio.gather(*(ledger.write(record_results, one, urgent=True) for one in results))


async def state_of(database: Database) -> Row | None:
    rows = await database.fetch("SELECT * FROM channel_state")
    return rows[0] if rows else None


async def paused(database: Database) -> Row:
    state = await state_of(database)
    assert state is not None
    assert state["state"] == "paused"
    return state


async def revision(database: Database) -> int:
    [row] = await database.fetch("SELECT revision FROM configuration")
    return int(row["revision"])


async def test_of_a_hundred_wishes_at_once_exactly_the_burst_is_granted(
    database: Database, ledger: Ledger
) -> None:
    await channel(database, rate="20/h", burst=20)
    await store(database, *(a_plan() for _ in range(100)))
    answers = await asyncio.gather(*(want(ledger, 1) for _ in range(100)))
    assert sum(len(one.claims) for one in answers) == 20
    assert answers[-1].closed == {"team": NOW + timedelta(minutes=3)}
    later = await want(ledger, 100, now=NOW + timedelta(minutes=9))
    assert len(later.claims) == 3


@postgres_only
async def test_two_ledgers_on_one_database_share_the_rate(
    database: Database, ledger: Ledger
) -> None:
    await channel(database, rate="20/h", burst=20)
    await store(database, *(a_plan() for _ in range(100)))
    second = Ledger(database)
    second.start()
    claims: list[Claim] = []
    try:
        # A row that the other has locked just now is passed over, so each asks again.
        for _ in range(10):
            wishes = [want(one, 1) for one in (ledger, second) for _ in range(20)]
            for answer in await asyncio.gather(*wishes):
                claims += answer.claims
    finally:
        await second.close()
    assert len(claims) == len({one.delivery_id for one in claims}) == 20


@postgres_only
async def test_a_claim_does_not_wait_for_a_channel_that_another_process_has_locked(
    database: Database, ledger: Ledger
) -> None:
    await channel(database, rate="20/h", burst=20)
    await channel(database, "free")
    await store(database, a_plan(), a_plan("free"))
    await want(ledger, 0)
    async with database.transaction() as elsewhere:
        await elsewhere.fetch("SELECT * FROM channel_state FOR UPDATE")
        answer = await want(ledger, 5, "team", "free")
    assert [one.channel for one in answer.claims] == ["free"]
    assert answer.closed == {"team": NOW + timedelta(milliseconds=25)}
    assert len((await want(ledger, 5)).claims) == 1


async def test_what_a_claim_does_not_use_of_the_rate_stays_there(
    database: Database, ledger: Ledger
) -> None:
    await channel(database, rate="20/h", burst=20)
    await store(database, *(a_plan() for _ in range(3)))
    first = await want(ledger, 16)
    assert (len(first.claims), first.closed) == (3, {})
    await store(database, *(a_plan() for _ in range(50)))
    assert len((await want(ledger, 50)).claims) == 17


async def test_a_channel_at_the_end_of_its_rate_stands_in_nobodys_way(
    database: Database, ledger: Ledger
) -> None:
    await channel(database, rate="1/h")
    await channel(database, "free")
    await store(database, *(a_plan("team", "free") for _ in range(5)))
    answer = await want(ledger, 5, "team", "free")
    names = [one.channel for one in answer.claims]
    assert (names.count("team"), names.count("free")) == (1, 5)


async def test_a_rate_without_a_burst_admits_one_at_a_time(
    database: Database, ledger: Ledger
) -> None:
    await channel(database, rate="10/s")
    await store(database, *(a_plan() for _ in range(5)))
    counts = []
    for tenths in (0, 0, 1, 2, 2):
        now = NOW + timedelta(milliseconds=100 * tenths)
        counts.append(len((await want(ledger, 5, now=now)).claims))
    assert counts == [1, 0, 1, 1, 0]


async def test_a_channel_without_failures_costs_no_write(
    database: Database, ledger: Ledger
) -> None:
    await channel(database)
    await store(database, *(a_plan() for _ in range(5)))
    claimed = await want(ledger, 5)
    await came_to(ledger, claimed.claims, Status.SENT)
    assert await state_of(database) is None
    assert await revision(database) == 1


async def test_a_run_of_failures_pauses_the_channel_and_moves_the_revision(
    database: Database, ledger: Ledger
) -> None:
    await channel(database, breaker_failures=3)
    plans = [await stored(database) for _ in range(5)]
    claimed = await want(ledger, 5)
    await came_to(ledger, claimed.claims[:2], Status.PENDING)
    assert await revision(database) == 1
    await came_to(ledger, claimed.claims[2:3], Status.PENDING, error="It broke.")
    state = await paused(database)
    assert (state["reason"], state["failure_count"]) == ("failures", 3)
    assert state["detail"] == "3 attempts in a row have failed; the last: It broke."
    assert await revision(database) == 2
    answer = await want(ledger, 5, now=NOW + 20 * SECOND)
    assert (answer.claims, answer.closed) == ([], {"team": NOW + 31 * SECOND})
    assert [await statuses_of(database, one) for one in plans[:3]] == [[("pending", None)]] * 3


async def test_successes_between_failures_keep_a_channel_active(
    database: Database, ledger: Ledger
) -> None:
    await channel(database, breaker_failures=2)
    await store(database, *(a_plan() for _ in range(6)))
    claimed = await want(ledger, 6)
    for number, one in enumerate(claimed.claims):
        status = Status.PENDING if number % 2 == 0 else Status.SENT
        await came_to(ledger, [one], status, at=NOW + number * SECOND)
    state = await state_of(database)
    assert state is not None
    assert (state["state"], state["failure_count"]) == ("active", 0)


async def test_one_probe_tries_a_paused_channel_and_resumes_it(
    database: Database, ledger: Ledger
) -> None:
    await channel(database, breaker_failures=1)
    await store(database, *(a_plan() for _ in range(5)))
    claimed = await want(ledger, 1)
    await came_to(ledger, claimed.claims, Status.PENDING, due_at=NOW)
    at = NOW + 31 * SECOND
    probe = await want(ledger, 5, now=at)
    assert len(probe.claims) == 1
    assert (await want(ledger, 5, now=at + SECOND)).claims == []
    await came_to(ledger, probe.claims, Status.PENDING, at=at)
    state = await paused(database)
    assert state["probe_count"] == 1
    assert (await want(ledger, 5, now=at + 60 * SECOND)).claims == []
    at += 61 * SECOND
    probe = await want(ledger, 5, now=at)
    await came_to(ledger, probe.claims, Status.SENT, at=at)
    state = await state_of(database)
    assert state is not None
    assert (state["state"], state["reason"], state["failure_count"]) == ("active", None, 0)
    assert await revision(database) == 3
    assert len((await want(ledger, 5, now=at + 2 * SECOND)).claims) == 4


async def test_a_probe_whose_process_died_is_followed_by_another(
    database: Database, ledger: Ledger
) -> None:
    await channel(database, breaker_failures=1, breaker_wait="1s")
    await store(database, a_plan(), a_plan())
    await came_to(ledger, (await want(ledger, 1)).claims, Status.PENDING)
    at = NOW + 5 * SECOND
    assert len((await want(ledger, 5, now=at)).claims) == 1
    assert (await want(ledger, 5, now=at + 29 * SECOND)).claims == []
    assert len((await want(ledger, 5, now=at + 30 * SECOND)).claims) == 1


async def test_a_misconfigured_channel_is_paused_at_once_and_its_delivery_waits(
    database: Database, ledger: Ledger
) -> None:
    await channel(database, breaker_failures=0)
    plan = await stored(database)
    await came_to(
        ledger,
        (await want(ledger, 1)).claims,
        Status.PENDING,
        due_at=NOW,
        outcome=Outcome.PERMANENT_ERROR,
        misconfigured=True,
        error="The password is wrong.",
    )
    state = await paused(database)
    assert (state["reason"], state["detail"]) == ("misconfigured", "The password is wrong.")
    answer = await want(ledger, 1, now=NOW + timedelta(days=1))
    assert (answer.claims, answer.closed) == ([], {"team": None})
    [delivery] = await database.fetch("SELECT * FROM delivery")
    assert (delivery["status"], delivery["retry_step"]) == ("pending", 0)
    assert await statuses_of(database, plan) == [("pending", None)]


async def test_what_began_before_a_channel_was_resumed_does_not_pause_it_again(
    database: Database, ledger: Ledger
) -> None:
    await channel(database, breaker_failures=1)
    await store(database, a_plan(), a_plan())
    first, second = (await want(ledger, 2)).claims
    await came_to(ledger, [first], Status.PENDING)
    team = await Channel.get(name="team").using_db(database.reader)
    await in_transaction(database, lambda one: resume(one, team, now=NOW + 2 * SECOND))
    await came_to(ledger, [second], Status.PENDING, at=NOW + 3 * SECOND)
    state = await state_of(database)
    assert state is not None
    assert state["state"] == "active"


async def test_results_of_a_channel_that_is_gone_are_recorded_all_the_same(
    database: Database, ledger: Ledger
) -> None:
    plan = await stored(database)
    await came_to(ledger, (await want(ledger, 1)).claims, Status.PENDING)
    assert await statuses_of(database, plan) == [("pending", None)]
    assert await state_of(database) is None


@postgres_only
async def test_two_ledgers_that_record_the_same_failures_pause_it_once(
    database: Database, ledger: Ledger
) -> None:
    await channel(database, breaker_failures=4)
    await store(database, *(a_plan() for _ in range(16)))
    claims = (await want(ledger, 16)).claims
    second = Ledger(database)
    second.start()
    try:
        await asyncio.gather(
            came_to(ledger, claims[:8], Status.PENDING),
            came_to(second, claims[8:], Status.PENDING),
        )
    finally:
        await second.close()
    assert (await paused(database))["probe_count"] == 0
    assert await revision(database) == 2
