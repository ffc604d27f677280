"""Failover chains: whose turn it is, what moves it, and how a chain ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from almenara.database import Database, Row, read_timestamp
from almenara.deliveries import Claim, Plan, Reason, Status, cancel, expire, release
from almenara.ledger import (
    ClaimRequest,
    RescueRequest,
    claim,
    record_results,
    rescue_orphans,
    return_claims,
)
from almenara.models import new_id
from almenara.plan import plan_message
from almenara.settings import Settings
from tests.stored import (
    NOW,
    SECOND,
    a_channel,
    a_plan,
    a_result,
    add_channel,
    in_transaction,
    message_status,
    opened_database,
    store,
)

STEP = timedelta(seconds=300)
CHANNELS = ("first", "second", "third")


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with opened_database(settings) as one:
        yield one


async def a_chain(database: Database, *, claimed: bool = False, **fields: Any) -> Plan:
    """Store a message for three channels in failover."""
    single = a_plan("first", **fields)
    plan = plan_message(
        single.message,
        [a_channel(name) for name in CHANNELS],
        revision=1,
        now=NOW,
        new_id=new_id,
        take_slot=lambda _: claimed,
        step_deadline=STEP,
    )
    await store(database, plan)
    return plan


async def claimed(database: Database, now: datetime, *channels: str) -> list[Claim]:
    request = ClaimRequest([(name, 10) for name in channels or CHANNELS], now)
    [answer] = await in_transaction(database, lambda one: claim(one, [request]))
    return list(answer.claims)


async def ended(database: Database, one: Claim, status: Status, at: datetime, **more: Any) -> bool:
    result = a_result(one, status, at=at, **more)
    [held] = await in_transaction(database, lambda now: record_results(now, [result]))
    return held


async def rows_of(database: Database, plan: Plan) -> list[Row]:
    return await database.fetch(
        "SELECT * FROM delivery WHERE message_id = $1 ORDER BY position", plan.message.id
    )


async def states_of(database: Database, plan: Plan) -> list[tuple[str, str | None]]:
    return [(row["status"], row["reason"]) for row in await rows_of(database, plan)]


async def test_each_is_due_at_the_deadline_of_the_one_before(database: Database) -> None:
    plan = await a_chain(database, claimed=True)
    rows = await rows_of(database, plan)
    assert [read_timestamp(row["due_at"]) for row in rows] == [NOW, NOW + STEP, NOW + 2 * STEP]
    assert [row["status"] for row in rows] == ["sending", "pending", "pending"]
    assert plan.status == "sending"
    assert await claimed(database, NOW + SECOND) == []


async def test_who_sends_makes_the_rest_not_needed(database: Database) -> None:
    plan = await a_chain(database)
    [first] = await claimed(database, NOW)
    assert await ended(database, first, Status.SENT, NOW)
    not_needed = ("cancelled", "not_needed")
    assert await states_of(database, plan) == [("sent", None), not_needed, not_needed]
    assert await message_status(database, plan) == "sent"


@pytest.mark.parametrize("status", [Status.FAILED, Status.HELD])
async def test_after_a_failure_or_a_hold_the_next_one_is_due_now(
    database: Database, status: Status
) -> None:
    plan = await a_chain(database)
    [first] = await claimed(database, NOW)
    await ended(database, first, status, NOW)
    assert await message_status(database, plan) == "queued"
    [second] = await claimed(database, NOW + 2 * SECOND)
    assert second.channel == "second"
    await ended(database, second, Status.SENT, NOW + 2 * SECOND)
    first_ends = ("failed", "permanent") if status is Status.FAILED else ("cancelled", "not_needed")
    assert await states_of(database, plan) == [
        first_ends,
        ("sent", None),
        ("cancelled", "not_needed"),
    ]
    assert await message_status(database, plan) == "sent"


async def test_a_chain_in_which_all_fail_has_failed(database: Database) -> None:
    plan = await a_chain(database)
    for place in range(3):
        [one] = await claimed(database, NOW + 2 * place * SECOND)
        await ended(database, one, Status.FAILED, NOW + 2 * place * SECOND)
    assert await states_of(database, plan) == [("failed", "permanent")] * 3
    assert await message_status(database, plan) == "failed"


async def test_a_retry_keeps_its_turn_until_the_deadline_of_its_step(database: Database) -> None:
    plan = await a_chain(database)
    [first] = await claimed(database, NOW)
    await ended(database, first, Status.PENDING, NOW)
    assert await claimed(database, NOW + SECOND) == []
    [again] = await claimed(database, NOW + 20 * SECOND)
    assert (again.channel, again.attempt_number) == ("first", 2)
    await ended(database, again, Status.PENDING, NOW, due_at=NOW + 10 * STEP)
    [second] = await claimed(database, NOW + STEP)
    assert second.channel == "second"
    assert await states_of(database, plan) == [
        ("cancelled", "superseded"),
        ("sending", None),
        ("pending", None),
    ]


async def test_a_deadline_waits_for_the_attempt_that_is_under_way(database: Database) -> None:
    plan = await a_chain(database)
    [first] = await claimed(database, NOW + STEP - SECOND)
    assert await claimed(database, NOW + STEP) == []
    await ended(database, first, Status.PENDING, NOW + STEP)
    [second] = await claimed(database, NOW + STEP + SECOND)
    assert second.channel == "second"
    assert (await states_of(database, plan))[0] == ("cancelled", "superseded")


async def test_nothing_is_superseded_for_a_channel_that_cannot_send_now(
    database: Database,
) -> None:
    plan = await a_chain(database)
    [first] = await claimed(database, NOW)
    await ended(database, first, Status.PENDING, NOW, due_at=NOW + STEP + SECOND)
    assert await claimed(database, NOW + STEP, "first", "third") == []
    assert (await states_of(database, plan))[0] == ("pending", None)
    [again] = await claimed(database, NOW + STEP + SECOND, "first", "third")
    assert again.channel == "first"


async def test_deadlines_that_passed_together_leave_the_last_one(database: Database) -> None:
    plan = await a_chain(database)
    [third] = await claimed(database, NOW + 3 * STEP)
    assert third.channel == "third"
    assert await states_of(database, plan) == [
        ("cancelled", "superseded"),
        ("cancelled", "superseded"),
        ("sending", None),
    ]


async def test_cancelling_one_delivery_passes_the_turn_on(database: Database) -> None:
    plan = await a_chain(database)
    await in_transaction(
        database,
        lambda one: cancel(
            one, by="id", value=plan.deliveries[0].id, reason=Reason.OPERATOR, now=NOW
        ),
    )
    [second] = await claimed(database, NOW)
    assert second.channel == "second"


async def test_cancelling_the_message_ends_the_chain(database: Database) -> None:
    plan = await a_chain(database)
    await in_transaction(
        database,
        lambda one: cancel(
            one, by="message_id", value=plan.message.id, reason=Reason.OPERATOR, now=NOW
        ),
    )
    assert await states_of(database, plan) == [("cancelled", "operator")] * 3
    assert await message_status(database, plan) == "cancelled"


async def test_a_claim_that_is_given_back_and_cancelled_passes_the_turn_on(
    database: Database,
) -> None:
    plan = await a_chain(database)
    [first] = await claimed(database, NOW)
    await in_transaction(
        database,
        lambda one: cancel(
            one, by="id", value=plan.deliveries[0].id, reason=Reason.OPERATOR, now=NOW
        ),
    )
    await in_transaction(database, lambda one: return_claims(one, [[first]]))
    assert (await states_of(database, plan))[0] == ("cancelled", "operator")
    [second] = await claimed(database, NOW)
    assert second.channel == "second"


async def test_a_scheduled_chain_keeps_its_time_when_its_first_is_cancelled(
    database: Database,
) -> None:
    plan = await a_chain(database, send_at=NOW + 100 * SECOND)
    await in_transaction(
        database,
        lambda one: cancel(
            one, by="id", value=plan.deliveries[0].id, reason=Reason.OPERATOR, now=NOW
        ),
    )
    assert await claimed(database, NOW + 99 * SECOND) == []
    [second] = await claimed(database, NOW + 100 * SECOND)
    assert second.channel == "second"


async def test_a_dead_process_that_is_to_be_held_passes_the_turn_on(database: Database) -> None:
    await add_channel(database, "first", on_unknown="hold")
    plan = await a_chain(database, claimed=True)
    request = RescueRequest(now=NOW + SECOND, all_of_them=True)
    await in_transaction(database, lambda one: rescue_orphans(one, [request]))
    assert (await states_of(database, plan))[0] == ("held", "unknown_outcome")
    [second] = await claimed(database, NOW + SECOND)
    assert second.channel == "second"


async def test_a_held_one_that_is_released_has_its_turn_again(database: Database) -> None:
    plan = await a_chain(database)
    [first] = await claimed(database, NOW)
    await ended(database, first, Status.HELD, NOW)
    for place in (1, 2):
        [one] = await claimed(database, NOW + 2 * place * SECOND)
        await ended(database, one, Status.FAILED, NOW + 2 * place * SECOND)
    assert await message_status(database, plan) == "held"
    later = NOW + 10 * SECOND
    await in_transaction(database, lambda one: release(one, plan.deliveries[0].id, now=later))
    [again] = await claimed(database, later)
    await ended(database, again, Status.SENT, later)
    assert await message_status(database, plan) == "sent"


async def test_a_late_result_moves_no_chain(database: Database) -> None:
    plan = await a_chain(database, claimed=True)
    [first] = [one.claim for one in plan.deliveries if one.claim]
    request = RescueRequest(now=NOW + SECOND, all_of_them=True)
    await in_transaction(database, lambda one: rescue_orphans(one, [request]))
    assert not await ended(database, first, Status.SENT, NOW + SECOND)
    assert await states_of(database, plan) == [("pending", None)] * 3


async def test_a_chain_expires_whole(database: Database) -> None:
    plan = await a_chain(database, expires_at=NOW + 60 * SECOND)
    await in_transaction(database, lambda one: expire(one, now=NOW + 60 * SECOND))
    assert await states_of(database, plan) == [("failed", "expired")] * 3
    assert await message_status(database, plan) == "failed"


async def test_many_chains_do_not_mix(database: Database) -> None:
    plans = [await a_chain(database) for _ in range(4)]
    claims = await claimed(database, NOW)
    assert {one.channel for one in claims} == {"first"}
    by_message = {one.message_id: one for one in claims}
    for index, plan in enumerate(plans):
        status = Status.SENT if index % 2 else Status.FAILED
        await ended(database, by_message[plan.message.id], status, NOW)
    again = await claimed(database, NOW + 2 * SECOND)
    assert {one.message_id for one in again} == {plans[0].message.id, plans[2].message.id}
    assert {one.channel for one in again} == {"second"}
