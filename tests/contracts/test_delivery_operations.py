"""The moves that an operator or a crash asks for: cancelled, released from hold, rescued."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest

from almenara.database import Database, read_timestamp
from almenara.deliveries import (
    DEATHS_ALLOWED,
    DEATHS_IN_COMPANY,
    Claim,
    Outcome,
    Plan,
    Reason,
    Result,
    Status,
    cancel,
    claim_due,
    give_back,
    release,
)
from almenara.ledger import RescueRequest, record_results, rescue_orphans
from almenara.models import new_id
from almenara.settings import Settings
from tests.stored import (
    NOW,
    SECOND,
    a_plan,
    a_result,
    add_channel,
    attempts_of,
    claims_of,
    deliveries_of,
    end_leases,
    in_transaction,
    message_status,
    opened_database,
    statuses_of,
    store,
    stored,
)

LATER = NOW + timedelta(minutes=5)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with opened_database(settings) as one:
        yield one


async def recorded(database: Database, *results: Result) -> Sequence[bool]:
    return await in_transaction(database, lambda one: record_results(one, results))


async def cancelled(
    database: Database,
    by: Literal["id", "message_id", "channel"],
    value: Any,
    reason: Reason = Reason.OPERATOR,
) -> int:
    return await in_transaction(
        database, lambda one: cancel(one, by=by, value=value, reason=reason, now=LATER)
    )


async def rescued(
    database: Database, *, now: datetime = LATER, all_of_them: bool = False
) -> Sequence[Result]:
    if not all_of_them:
        await end_leases(database)
    request = RescueRequest(now=now, all_of_them=all_of_them)
    [results] = await in_transaction(database, lambda one: rescue_orphans(one, [request]))
    return results


async def claimed_again(
    database: Database, *, at: datetime = LATER, suspects: bool = False
) -> Claim:
    [claim] = await in_transaction(
        database, lambda one: claim_due(one, [("team", 1)], now=at, suspects=suspects)
    )
    return claim


async def held(database: Database) -> Plan:
    plan = await stored(database, claimed=True)
    await recorded(database, a_result(claims_of(plan)[0], Status.HELD, death_count=2))
    assert await statuses_of(database, plan) == [("held", "unknown_outcome")]
    return plan


# Cancelled


async def test_what_waits_is_cancelled_at_once(database: Database) -> None:
    plan = await stored(database, "team", "mail")
    assert await cancelled(database, "message_id", plan.message.id) == 2
    assert await statuses_of(database, plan) == [("cancelled", "operator")] * 2
    assert await message_status(database, plan) == "cancelled"
    for row in await deliveries_of(database, plan):
        assert read_timestamp(row["finished_at"]) == LATER


async def test_one_delivery_is_cancelled_and_the_others_stay(database: Database) -> None:
    plan, other = await stored(database, "team", "mail"), await stored(database)
    assert await cancelled(database, "id", plan.deliveries[0].id) == 1
    assert await statuses_of(database, plan) == [("cancelled", "operator"), ("pending", None)]
    assert await message_status(database, plan) == "queued"
    assert await statuses_of(database, other) == [("pending", None)]


async def test_everything_of_a_channel_is_cancelled_with_its_reason(database: Database) -> None:
    plans = [a_plan("team", "mail"), a_plan("team", claimed=True), a_plan("mail")]
    await store(database, *plans)
    on_hold = await held(database)
    assert await cancelled(database, "channel", "team", Reason.CHANNEL_DELETED) == 3
    gone = ("cancelled", "channel_deleted")
    assert await statuses_of(database, plans[0]) == [gone, ("pending", None)]
    assert await statuses_of(database, plans[1]) == [("sending", None)]
    assert await statuses_of(database, plans[2]) == [("pending", None)]
    assert await statuses_of(database, on_hold) == [gone]
    assert await message_status(database, on_hold) == "cancelled"


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (Status.SENT, ("sent", None)),
        (Status.FAILED, ("failed", "permanent")),
        (Status.PENDING, ("cancelled", "operator")),
        (Status.HELD, ("cancelled", "operator")),
    ],
)
async def test_what_is_being_sent_is_cancelled_only_if_it_would_come_back(
    database: Database, end: Status, expected: tuple[str, str | None]
) -> None:
    plan = await stored(database, claimed=True)
    assert await cancelled(database, "message_id", plan.message.id) == 1
    assert await message_status(database, plan) == "sending"
    result = a_result(claims_of(plan)[0], end)
    assert await recorded(database, result) == [True]
    assert await statuses_of(database, plan) == [expected]
    assert await message_status(database, plan) == expected[0]
    [row] = await deliveries_of(database, plan)
    assert row["cancel_reason"] is None
    assert read_timestamp(row["finished_at"]) == result.finished_at


async def test_what_was_to_be_cancelled_and_is_given_back_is_cancelled(database: Database) -> None:
    plan = await stored(database, claimed=True)
    await cancelled(database, "message_id", plan.message.id)
    await in_transaction(database, lambda one: give_back(one, claims_of(plan)))
    assert await statuses_of(database, plan) == [("cancelled", "operator")]
    assert await message_status(database, plan) == "cancelled"
    [row] = await deliveries_of(database, plan)
    assert (row["attempt_number"], row["cancel_reason"], row["token"]) == (0, None, None)
    assert read_timestamp(row["finished_at"]) == NOW


async def test_what_is_final_cannot_be_cancelled(database: Database) -> None:
    plan = await stored(database, claimed=True)
    await recorded(database, a_result(claims_of(plan)[0], Status.SENT))
    before = await deliveries_of(database, plan)
    assert await cancelled(database, "message_id", plan.message.id) == 0
    assert await cancelled(database, "id", new_id()) == 0
    assert await deliveries_of(database, plan) == before


# Released


async def test_a_held_delivery_is_released_due_now_and_its_deaths_forgotten(
    database: Database,
) -> None:
    plan = await held(database)
    assert await in_transaction(
        database, lambda one: release(one, plan.deliveries[0].id, now=LATER)
    )
    [row] = await deliveries_of(database, plan)
    assert (row["status"], row["reason"], row["death_count"]) == ("pending", None, 0)
    assert read_timestamp(row["due_at"]) == LATER
    assert await message_status(database, plan) == "queued"
    assert (await claimed_again(database)).attempt_number == 2


@pytest.mark.parametrize("end", [None, Status.SENT, Status.PENDING])
async def test_only_a_held_delivery_can_be_released(database: Database, end: Status | None) -> None:
    plan = await stored(database, claimed=True)
    if end is not None:
        await recorded(database, a_result(claims_of(plan)[0], end))
    before = await deliveries_of(database, plan)
    for delivery_id in (plan.deliveries[0].id, new_id()):
        assert not await in_transaction(
            database, lambda one, some=delivery_id: release(one, some, now=LATER)
        )
    assert await deliveries_of(database, plan) == before


# Rescued


async def test_what_a_dead_process_held_is_due_again_with_an_attempt_of_unknown_outcome(
    database: Database,
) -> None:
    plan = await stored(database, claimed=True)
    [claim] = claims_of(plan)
    [result] = await rescued(database)
    assert (result.claim, result.outcome) == (claim, Outcome.UNKNOWN)
    [row] = await deliveries_of(database, plan)
    assert (row["status"], row["reason"], row["death_count"]) == ("pending", None, 1)
    assert (row["attempt_number"], row["retry_step"], row["token"]) == (1, 0, None)
    assert read_timestamp(row["due_at"]) == LATER
    assert await message_status(database, plan) == "queued"
    [attempt] = await attempts_of(database, plan)
    assert (attempt["number"], attempt["outcome"], bool(attempt["late"])) == (1, "unknown", False)
    assert attempt["error"].startswith("The process that made this attempt ended")
    assert attempt["duration_ms"] == 300_000


async def test_everything_is_rescued_at_once_where_no_other_process_can_live(
    database: Database,
) -> None:
    plans = [a_plan("team", "mail", claimed=True), a_plan(), a_plan(claimed=True)]
    await store(database, *plans)
    results = await rescued(database, now=NOW + SECOND, all_of_them=True)
    assert [result.claim.delivery_id for result in results] == [
        delivery.id for plan in (plans[0], plans[2]) for delivery in plan.deliveries
    ]
    for plan in plans:
        assert await message_status(database, plan) == "queued"
    assert await rescued(database, now=NOW + SECOND, all_of_them=True) == []


@pytest.mark.parametrize(
    ("on_unknown", "expected"),
    [("retry", ("pending", None)), ("hold", ("held", "unknown_outcome"))],
)
async def test_the_channel_says_whether_an_unknown_outcome_is_tried_again(
    database: Database, on_unknown: str, expected: tuple[str, str | None]
) -> None:
    await add_channel(database, "team", on_unknown=on_unknown)
    plan = await stored(database, claimed=True)
    [result] = await rescued(database)
    assert (result.status, result.reason) == expected
    assert await statuses_of(database, plan) == [expected]


async def test_the_third_process_that_dies_on_a_delivery_is_the_last(database: Database) -> None:
    plan = await stored(database, claimed=True)
    for death in range(1, DEATHS_ALLOWED):
        await rescued(database, all_of_them=True)
        claim = await claimed_again(database, suspects=death >= DEATHS_IN_COMPANY)
        assert claim.attempt_number == death + 1
    await rescued(database, all_of_them=True)
    assert await statuses_of(database, plan) == [("held", "poison")]
    assert await message_status(database, plan) == "held"
    assert [row["outcome"] for row in await attempts_of(database, plan)] == ["unknown"] * 3


async def test_a_result_between_two_deaths_makes_the_count_begin_anew(database: Database) -> None:
    plan = await stored(database, claimed=True)
    await rescued(database)
    await rescued(database)
    claim = await claimed_again(database)
    await recorded(database, a_result(claim, Status.PENDING, due_at=LATER))
    [row] = await deliveries_of(database, plan)
    assert row["death_count"] == 0


async def test_what_was_to_be_cancelled_is_not_rescued_but_cancelled(database: Database) -> None:
    plan = await stored(database, claimed=True)
    await cancelled(database, "channel", "team", Reason.CHANNEL_DELETED)
    await rescued(database)
    assert await statuses_of(database, plan) == [("cancelled", "channel_deleted")]
    assert [row["outcome"] for row in await attempts_of(database, plan)] == ["unknown"]


async def test_the_result_of_a_rescued_claim_is_late(database: Database) -> None:
    plan = await stored(database, claimed=True)
    [old] = claims_of(plan)
    await rescued(database)
    new = await claimed_again(database)
    assert await recorded(database, a_result(old, Status.SENT)) == [False]
    assert await statuses_of(database, plan) == [("sending", None)]
    assert await recorded(database, a_result(new, Status.SENT)) == [True]
    assert [
        (row["number"], row["outcome"], bool(row["late"]))
        for row in await attempts_of(database, plan)
    ] == [(1, "unknown", False), (1, "sent", True), (2, "sent", False)]


@pytest.mark.parametrize(
    "settings", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
async def test_two_rescues_at_the_same_time_share_nothing(database: Database) -> None:
    plan = await stored(database, claimed=True)
    await end_leases(database)
    request = RescueRequest(now=LATER)
    async with database.transaction() as first, database.transaction() as second:
        [mine] = await rescue_orphans(first, [request])
        [theirs] = await rescue_orphans(second, [request])
    assert (len(mine), len(theirs)) == (1, 0)
    assert len(await attempts_of(database, plan)) == 1
