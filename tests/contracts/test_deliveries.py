"""The moves around an attempt: claimed, settled by its result, given back, sent again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from almenara.database import Database, Row, Transaction, read_timestamp
from almenara.deliveries import (
    Claim,
    NewDelivery,
    Outcome,
    Plan,
    Reason,
    Result,
    Status,
    cancel,
    insert,
    refresh_messages,
)
from almenara.ledger import (
    Acceptance,
    Accepted,
    ClaimRequest,
    accept_messages,
    claim,
    record_results,
    return_claims,
)
from almenara.models import new_id
from almenara.settings import Settings
from tests.stored import (
    NOW,
    SECOND,
    a_plan,
    a_result,
    attempts_of,
    claims_of,
    deliveries_of,
    in_transaction,
    message_status,
    opened_database,
    statuses_of,
    store,
    stored,
)

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with opened_database(settings) as one:
        yield one


async def claimed(database: Database, *limits: tuple[str, int], now: Any = NOW) -> list[Claim]:
    request = ClaimRequest(limits or [("team", 100)], now)
    [answer] = await in_transaction(database, lambda one: claim(one, [request]))
    return list(answer.claims)


async def recorded(database: Database, *results: Result) -> Sequence[bool]:
    return await in_transaction(database, lambda one: record_results(one, results))


async def cancelled(database: Database, by: Any, value: Any) -> int:
    async with database.transaction() as transaction:
        return await cancel(transaction, by=by, value=value, reason=Reason.OPERATOR, now=LATER)


async def given_back(database: Database, *claims: Claim) -> None:
    await in_transaction(database, lambda one: return_claims(one, [claims]))


async def sent_again(database: Database, plan: Plan) -> None:
    """Insert a delivery that names the plan's newest one, as resending does."""
    old = (await deliveries_of(database, plan))[-1]
    again = NewDelivery(
        id=new_id(),
        message_id=plan.message.id,
        channel=old["channel"],
        position=0,
        priority=3,
        due_at=NOW,
        created_at=NOW,
        resend_of=old["id"],
    )
    async with database.transaction() as transaction:
        await insert(transaction, [again])
        await refresh_messages(transaction, [plan.message.id])


async def only(database: Database, plan: Plan) -> Row:
    [row] = await deliveries_of(database, plan)
    return row


async def test_the_most_urgent_is_claimed_first_and_of_those_the_oldest(database: Database) -> None:
    order = [(3, 0), (1, 3), (5, 0), (1, 2), (3, 1)]
    plans = {
        one: a_plan(priority=one[0], now=NOW - timedelta(minutes=10 - one[1])) for one in order
    }
    await store(database, *plans.values())
    found = []
    for _ in order:
        found += await claimed(database, ("team", 1))
    expected = [plans[one].message.id for one in sorted(order)]
    assert [one.message_id for one in found] == expected


async def test_no_more_is_claimed_than_each_channel_may(database: Database) -> None:
    await store(database, *(a_plan("one", "two", "three") for _ in range(4)))
    claims = await claimed(database, ("one", 2), ("two", 0), ("absent", 5), ("three", 9))
    assert sorted(one.channel for one in claims) == ["one"] * 2 + ["three"] * 4
    assert len(await claimed(database, ("one", 9), ("two", 9), ("three", 9))) == 6


async def test_nothing_is_claimed_before_it_is_due(database: Database) -> None:
    plan = await stored(database, send_at=LATER)
    assert await claimed(database, now=LATER - timedelta(microseconds=1)) == []
    assert await message_status(database, plan) == "scheduled"
    assert len(await claimed(database, now=LATER)) == 1
    assert await message_status(database, plan) == "sending"


async def test_a_claim_is_what_stands_in_the_row(database: Database) -> None:
    plan = await stored(database)
    [one] = await claimed(database)
    row = await only(database, plan)
    assert (one.delivery_id, one.message_id) == (plan.deliveries[0].id, plan.message.id)
    assert (one.attempt_number, one.retry_step, one.channel) == (1, 0, "team")
    assert (row["status"], row["attempt_number"], str(row["token"])) == (
        *("sending", 1),
        str(one.token),
    )
    assert read_timestamp(row["started_at"]) == one.started_at == NOW
    assert read_timestamp(row["lease_until"]) == one.lease_until


@pytest.mark.parametrize("status", [one for one in Status if one is not Status.PENDING])
async def test_only_what_is_pending_is_claimed(database: Database, status: Status) -> None:
    plan = await stored(database, claimed=True)
    if status is Status.CANCELLED:
        await given_back(database, *claims_of(plan))
        await cancelled(database, "id", plan.deliveries[0].id)
    elif status is not Status.SENDING:
        await recorded(database, a_result(claims_of(plan)[0], status))
    assert (await only(database, plan))["status"] == status
    assert await claimed(database, now=NOW + timedelta(days=1)) == []


@pytest.mark.parametrize(
    ("status", "reason", "rolled_up"),
    [
        (Status.SENT, None, "sent"),
        (Status.FAILED, Reason.EXHAUSTED, "failed"),
        (Status.PENDING, None, "queued"),
        (Status.HELD, Reason.UNKNOWN_OUTCOME, "held"),
    ],
)
async def test_a_result_moves_its_delivery_and_its_message(
    database: Database, status: Status, reason: Reason | None, rolled_up: str
) -> None:
    plan = await stored(database, claimed=True)
    [one] = claims_of(plan)
    result = a_result(one, status, reason=reason, retry_step=1, reference="ref", error="What.")
    assert await recorded(database, result) == [True]
    row = await only(database, plan)
    assert (row["status"], row["reason"], row["retry_step"]) == (status, reason, 1)
    assert (row["token"], row["lease_until"], row["reference"]) == (None, None, "ref")
    assert (row["finished_at"] is not None) == (status in {Status.SENT, Status.FAILED})
    assert read_timestamp(row["due_at"]) == (result.due_at or NOW)
    assert await message_status(database, plan) == rolled_up
    [attempt] = await attempts_of(database, plan)
    assert (attempt["number"], attempt["outcome"], attempt["error"]) == (1, result.outcome, "What.")
    assert (attempt["duration_ms"], bool(attempt["late"])) == (1000, False)


async def test_an_attempt_never_lasted_less_than_nothing(database: Database) -> None:
    plan = await stored(database, claimed=True)
    [one] = claims_of(plan)
    await recorded(database, a_result(one, Status.SENT, finished_at=NOW - SECOND))
    assert (await attempts_of(database, plan))[0]["duration_ms"] == 0


async def test_every_try_counts_and_the_next_one_continues(database: Database) -> None:
    plan = await stored(database)
    for number in (1, 2, 3):
        [one] = await claimed(database, now=NOW + number * timedelta(hours=1))
        assert (one.attempt_number, one.retry_step) == (number, number - 1)
        await recorded(
            database, a_result(one, Status.PENDING, at=one.started_at, retry_step=number)
        )
    assert [row["number"] for row in await attempts_of(database, plan)] == [1, 2, 3]


@pytest.mark.parametrize("wrong", ["token", "attempt_number", "settled", "given back"])
async def test_a_result_of_a_claim_that_is_lost_is_recorded_as_late_and_moves_nothing(
    database: Database, wrong: str
) -> None:
    plan = await stored(database, claimed=True)
    [one] = claims_of(plan)
    stale = one
    if wrong == "token":
        stale = replace(one, token=new_id())
    elif wrong == "attempt_number":
        stale = replace(one, attempt_number=2)
    elif wrong == "settled":
        await recorded(database, a_result(one, Status.FAILED))
    else:
        await given_back(database, one)
    before, status = await only(database, plan), await message_status(database, plan)
    assert await recorded(database, a_result(stale, Status.SENT)) == [False]
    assert await only(database, plan) == before
    assert await message_status(database, plan) == status
    last = (await attempts_of(database, plan))[-1]
    assert (last["outcome"], bool(last["late"])) == (Outcome.SENT, True)


async def test_of_many_results_only_those_in_time_move_something(database: Database) -> None:
    plans = [a_plan(claimed=True) for _ in range(5)]
    await store(database, *plans)
    results = [a_result(claims_of(plan)[0], Status.SENT) for plan in plans]
    results[2] = replace(results[2], claim=replace(results[2].claim, token=new_id()))
    assert await recorded(database, *results) == [True, True, False, True, True]
    assert [await message_status(database, plan) for plan in plans] == [
        *("sent", "sent", "sending", "sent", "sent")
    ]


async def test_what_was_given_back_is_as_if_it_had_never_been_claimed(database: Database) -> None:
    plan = await stored(database)
    before = await only(database, plan)
    claims = await claimed(database)
    await given_back(database, *claims, replace(claims[0], token=new_id()))
    assert await only(database, plan) == before
    assert await message_status(database, plan) == "queued"
    await claimed(database)
    await given_back(database, *claims)
    assert await statuses_of(database, plan) == [("sending", None)]
    await given_back(database)


async def test_a_scheduled_message_that_was_sent_is_not_scheduled_when_it_is_sent_again(
    database: Database,
) -> None:
    plan = await stored(database, claimed=True, send_at=NOW)
    await recorded(database, a_result(claims_of(plan)[0], Status.FAILED))
    await sent_again(database, plan)
    assert await statuses_of(database, plan) == [("failed", "permanent"), ("pending", None)]
    assert await message_status(database, plan) == "queued"


async def test_of_a_delivery_that_was_sent_again_only_the_newest_counts(database: Database) -> None:
    plan = await stored(database, claimed=True)
    await recorded(database, a_result(claims_of(plan)[0], Status.FAILED))
    for status, rolled_up in ((Status.FAILED, "failed"), (Status.SENT, "sent")):
        await sent_again(database, plan)
        assert await message_status(database, plan) == "queued"
        [one] = await claimed(database)
        assert await message_status(database, plan) == "sending"
        await recorded(database, a_result(one, status))
        assert await message_status(database, plan) == rolled_up
    assert [row["status"] for row in await deliveries_of(database, plan)] == [
        *("failed", "failed", "sent")
    ]


async def test_a_late_result_beside_the_right_one_moves_nothing(database: Database) -> None:
    plan = await stored(database, claimed=True)
    [one] = claims_of(plan)
    forged = replace(one, token=new_id())
    results = [a_result(forged, Status.FAILED), a_result(one, Status.SENT)]
    assert await recorded(database, *results, results[1]) == [False, True, False]
    assert await statuses_of(database, plan) == [("sent", None)]
    attempts = await attempts_of(database, plan)
    assert [(row["outcome"], bool(row["late"])) for row in attempts] == [
        *(("permanent_error", True), ("sent", False), ("sent", True))
    ]


# Two processes at once, which only PostgreSQL has.

postgres_only = pytest.mark.parametrize(
    "settings", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)


@postgres_only
async def test_two_claims_at_the_same_time_share_nothing(database: Database) -> None:
    await store(database, *(a_plan() for _ in range(5)))
    request = ClaimRequest([("team", 3)], NOW)
    async with database.transaction() as first, database.transaction() as second:
        [mine] = [one.claims for one in await claim(first, [request])]
        [theirs] = [one.claims for one in await claim(second, [request])]
    assert (len(mine), len(theirs)) == (3, 2)
    assert len({one.delivery_id for one in (*mine, *theirs)}) == 5
    assert len({one.token for one in (*mine, *theirs)}) == 2


@asynccontextmanager
async def meanwhile(
    database: Database, second: Callable[[Transaction], Awaitable[Any]]
) -> AsyncIterator[Transaction]:
    """Open a transaction, in which the test does something; before its end a second one begins.

    The second runs until it has to wait for the first, or to its commit if it need not.
    """
    async with database.transaction() as first:
        yield first
        task = asyncio.create_task(in_transaction(database, second))
        await asyncio.wait([task], timeout=0.3)
    await task


@postgres_only
async def test_two_results_of_one_message_at_the_same_time_end_in_its_right_status(
    database: Database,
) -> None:
    plan = await stored(database, "one", "two", claimed=True)
    sent, failed = (
        a_result(one, status)
        for one, status in zip(claims_of(plan), (Status.SENT, Status.FAILED), strict=True)
    )
    async with meanwhile(database, lambda one: record_results(one, [failed])) as first:
        await record_results(first, [sent])
    assert await statuses_of(database, plan) == [("sent", None), ("failed", "permanent")]
    assert await message_status(database, plan) == "partial"


@postgres_only
async def test_a_claim_given_back_beside_a_result_ends_in_the_right_status(
    database: Database,
) -> None:
    plan = await stored(database, "one", "two", claimed=True)
    back, sent = claims_of(plan)
    async with meanwhile(database, lambda one: return_claims(one, [[back]])) as first:
        await record_results(first, [a_result(sent, Status.SENT)])
    assert await message_status(database, plan) == "queued"


@postgres_only
async def test_what_is_being_claimed_while_it_is_cancelled_is_marked(database: Database) -> None:
    plan = await stored(database)

    async def by_operator(one: Transaction) -> None:
        value = plan.deliveries[0].id
        assert await cancel(one, by="id", value=value, reason=Reason.OPERATOR, now=NOW) == 1

    async with meanwhile(database, by_operator) as first:
        [answer] = await claim(first, [ClaimRequest([("team", 1)], NOW)])
    [one] = answer.claims
    await recorded(database, a_result(one, Status.PENDING))
    assert await statuses_of(database, plan) == [("cancelled", "operator")]


@postgres_only
async def test_a_channel_that_goes_takes_along_what_is_being_accepted_for_it(
    database: Database,
) -> None:
    [row] = await database.fetch("SELECT revision FROM configuration")
    plan = a_plan("team", revision=row["revision"])

    async def deleting(one: Transaction) -> None:
        await one.execute("UPDATE configuration SET revision = revision + 1 WHERE id = 1")
        await cancel(one, by="channel", value="team", reason=Reason.CHANNEL_DELETED, now=NOW)

    async with meanwhile(database, deleting) as first:
        [accepted] = await accept_messages(first, [plan])
        assert accepted == Accepted(Acceptance.STORED, plan.message.id)
    assert await statuses_of(database, plan) == [("cancelled", "channel_deleted")]
