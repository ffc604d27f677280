"""What is old is purged and nothing else, and texts go that are to go; over both databases."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from almenara import retention
from almenara.database import Database, Transaction, read_id
from almenara.deliveries import MessageStatus, Plan, Status, insert, refresh_messages
from almenara.ledger import Ledger, purge, record_results
from almenara.ledger.purge import FINISHED, find_old
from almenara.models import new_id
from almenara.plan import no_slot, plan_delivery
from almenara.retention import Retention
from almenara.settings import Settings
from tests.aged import CUT_OFF, DAY, LONG_AGO, aged, id_of, kept, message_of, orphans
from tests.serving import make_settings, until
from tests.stored import (
    NOW,
    SECOND,
    a_channel,
    a_result,
    attempts_of,
    claims_of,
    count,
    deliveries_of,
    in_transaction,
    opened_database,
    statuses_of,
)

MICROSECOND = timedelta(microseconds=1)
SAID = "550 mailbox of ana@example.org is full: What does it cost?"


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


def keeper(database: Database, ledger: Ledger, *, now: datetime = NOW, days: int = 90) -> Retention:
    return Retention(database=database, ledger=ledger, clock=lambda: now, days=days)


async def resent(database: Database, plan: Plan, status: Status, *, at: datetime) -> None:
    """Send a message's first delivery again, and let it come to a status."""
    delivery = plan_delivery(
        plan.message.id,
        a_channel("team"),
        position=0,
        priority=3,
        due_at=at,
        now=at,
        new_id=new_id,
        take_slot=(lambda _: True) if status is not Status.PENDING else no_slot,
    )
    delivery = delivery._replace(resend_of=plan.deliveries[0].id)
    async with database.transaction() as transaction:
        await insert(transaction, [delivery])
        await refresh_messages(transaction, [plan.message.id])
        if delivery.claim:
            await record_results(transaction, [a_result(delivery.claim, status, at=at)])


# --- purging


async def test_what_finished_long_ago_goes_with_all_that_belongs_to_it(
    database: Database, ledger: Ledger
) -> None:
    plans = {status: await aged(database, status) for status in MessageStatus}
    assert await keeper(database, ledger).purge() == len(FINISHED)
    waiting = {plan.message.id for status, plan in plans.items() if status not in FINISHED}
    assert await kept(database) == waiting
    assert {status.value for status in MessageStatus} - set(FINISHED) == {
        "queued",
        "scheduled",
        "sending",
        "held",
    }
    assert await orphans(database) == []
    assert await count(database, "idempotency_key") == len(waiting)
    assert await count(database, "delivery") == len(waiting)
    assert await count(database, "attempt") == 1


async def test_what_finished_within_the_days_stays_to_the_microsecond(
    database: Database, ledger: Ledger
) -> None:
    stays = await aged(database, MessageStatus.SENT, finished=CUT_OFF)
    await aged(database, MessageStatus.SENT, finished=CUT_OFF - MICROSECOND)
    # Without a delivery the message's own time counts, by its id: to the millisecond.
    unrouted = await aged(database, MessageStatus.NO_ROUTE, accepted=CUT_OFF)
    await aged(database, MessageStatus.NO_ROUTE, accepted=CUT_OFF - timedelta(milliseconds=1))
    assert await keeper(database, ledger).purge() == 2
    assert await kept(database) == {stays.message.id, unrouted.message.id}


async def test_a_message_resent_yesterday_is_not_old(database: Database, ledger: Ledger) -> None:
    yesterday = await aged(database, MessageStatus.SENT)
    await resent(database, yesterday, Status.SENT, at=NOW - DAY)
    waiting = await aged(database, MessageStatus.FAILED)
    await resent(database, waiting, Status.PENDING, at=NOW - DAY)
    before = await aged(database, MessageStatus.FAILED)
    await resent(database, before, Status.SENT, at=LONG_AGO + DAY)
    assert await keeper(database, ledger).purge() == 1
    assert await kept(database) == {yesterday.message.id, waiting.message.id}
    assert len(await deliveries_of(database, yesterday)) == 2
    # When the resent one has been finished for 90 days, it goes too, with both deliveries.
    assert await keeper(database, ledger, now=NOW + 90 * DAY).purge() == 1
    assert await statuses_of(database, yesterday) == []


async def test_batches_are_small_and_go_from_the_oldest(database: Database) -> None:
    plans = [await aged(database, MessageStatus.NO_ROUTE) for _ in range(150)]
    stretch = await find_old(database, before=CUT_OFF, after=UUID(int=0))
    assert stretch.ids == [plan.message.id for plan in plans[:100]]
    stretch = await find_old(database, before=CUT_OFF, after=plans[99].message.id)
    assert stretch.ids == [plan.message.id for plan in plans[100:]]
    assert stretch.last == plans[-1].message.id
    assert (await find_old(database, before=CUT_OFF, after=plans[-1].message.id)).last is None


async def test_a_batch_ends_early_where_there_are_many_attempts(
    database: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "BATCH_ATTEMPTS", 3)
    plans = [await aged(database, MessageStatus.PARTIAL) for _ in range(4)]
    stretch = await find_old(database, before=CUT_OFF, after=UUID(int=0))
    assert stretch.ids == [plans[0].message.id]
    assert stretch.last == plans[0].message.id
    assert await keeper(database, ledger).purge() == 4


async def test_one_round_goes_past_what_stays_and_takes_all_that_is_old(
    database: Database, ledger: Ledger
) -> None:
    stays = [await aged(database, MessageStatus.QUEUED) for _ in range(110)]
    for _ in range(110):
        await aged(database, MessageStatus.NO_ROUTE)
    assert await keeper(database, ledger).purge() == 110
    assert await kept(database) == {plan.message.id for plan in stays}


async def test_with_0_days_everything_is_kept(database: Database, ledger: Ledger) -> None:
    plan = await aged(database, MessageStatus.SENT, redact=True)
    one = keeper(database, ledger, days=0)
    one.start()
    await until(lambda: is_redacted(database, plan))
    await one.close()
    assert await kept(database) == {plan.message.id}


# --- redacting


async def is_redacted(database: Database, plan: Plan) -> bool:
    return (await message_of(database, plan))["redacted_at"] is not None


TEXTS = {
    "title": "A question",
    "description": "What does it cost?",
    "data": {"name": "Ana"},
    "metadata": {"seen": "today"},
    "to": ("ana@example.org",),
}


@pytest.mark.parametrize("status", FINISHED)
async def test_of_a_finished_message_the_texts_go_and_the_facts_stay(
    database: Database, ledger: Ledger, status: MessageStatus
) -> None:
    plan = await aged(
        database, status, redact=True, said=SAID, reference="chat-7", tags=("vip",), **TEXTS
    )
    before = await message_of(database, plan)
    attempts = await attempts_of(database, plan)
    assert await keeper(database, ledger).redact() == 1
    after = await message_of(database, plan)
    assert (after["title"], after["description"]) == (None, "")
    assert [json.loads(after[name]) for name in ("data", "metadata", "recipients")] == [{}, {}, []]
    changed = {"title", "description", "data", "metadata", "recipients", "redacted_at"}
    assert {name for name in after if after[name] != before[name]} == changed
    for old, new in zip(attempts, await attempts_of(database, plan), strict=True):
        assert old["error"] == old["detail"] == SAID
        assert new == old | {"error": None, "detail": None}
    assert await count(database, "idempotency_key") == 1
    assert await keeper(database, ledger).redact() == 0


@pytest.mark.parametrize("status", set(MessageStatus) - set(FINISHED))
async def test_what_is_not_finished_keeps_its_texts(
    database: Database, ledger: Ledger, status: MessageStatus
) -> None:
    plan = await aged(database, status, redact=True, said=SAID, **TEXTS)
    before = (await message_of(database, plan), await attempts_of(database, plan))
    assert await keeper(database, ledger).redact() == 0
    assert (await message_of(database, plan), await attempts_of(database, plan)) == before


async def test_a_message_of_another_topic_keeps_its_texts(
    database: Database, ledger: Ledger
) -> None:
    plan = await aged(database, MessageStatus.FAILED, said=SAID, **TEXTS)
    assert await keeper(database, ledger).redact() == 0
    assert (await attempts_of(database, plan))[0]["error"] == SAID


async def test_more_than_a_batch_is_redacted_in_one_round(
    database: Database, ledger: Ledger
) -> None:
    for _ in range(130):
        await aged(database, MessageStatus.NO_ROUTE, redact=True)
    assert await keeper(database, ledger).redact() == 130


async def test_a_late_attempt_of_a_redacted_message_leaves_no_text(
    database: Database, ledger: Ledger
) -> None:
    plan = await aged(database, MessageStatus.SENT, redact=True)
    other = await aged(database, MessageStatus.SENT)
    await keeper(database, ledger).redact()
    for one in (plan, other):
        claim = replace(claims_of(one)[0], token=new_id())
        late = a_result(claim, Status.FAILED, at=NOW, error=SAID, detail=SAID)
        assert await ledger.write(record_results, late) is False
    assert [row["error"] for row in await attempts_of(database, plan)] == [None, None]
    assert [row["error"] for row in await attempts_of(database, other)] == [None, SAID]


async def test_what_is_to_be_redacted_is_found_by_the_partial_index(tmp_path: Path) -> None:
    async with opened_database(make_settings(tmp_path)) as database:
        plans = await database.fetch(
            "EXPLAIN QUERY PLAN SELECT id FROM message"
            f" WHERE redact AND redacted_at IS NULL AND status IN ({purge._FINISHED}) LIMIT 1"
        )
    assert [row["detail"] for row in plans] == [
        "SEARCH message USING INDEX message_redact (status=?)"
    ]


# --- the background


async def test_the_rounds_go_on_when_the_database_writes_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_REDACT_EVERY", 0.01)
    plan = await aged(database, MessageStatus.SENT, redact=True)
    ledger = Ledger(database)
    one = keeper(database, ledger, days=0)
    with capture_logs() as lines:
        one.start()
        await until(lambda: seen(lines, "retention_postponed"))
        ledger.start()
        await until(lambda: is_redacted(database, plan))
        await one.close()
    assert not await seen(lines, "retention_failed")
    await ledger.close()


async def test_the_rounds_go_on_after_a_mistake_of_ours(
    database: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_REDACT_EVERY", 0.01)
    plan = await aged(database, MessageStatus.SENT, redact=True)
    await renamed(database, "message", "away")
    one = keeper(database, ledger, days=0)
    with capture_logs() as lines:
        one.start()
        await until(lambda: seen(lines, "retention_failed"))
    await renamed(database, "away", "message")
    await until(lambda: is_redacted(database, plan))
    await one.close()


async def seen(lines: Sequence[Mapping[str, Any]], event: str) -> bool:
    return any(line["event"] == event for line in lines)


async def renamed(database: Database, old: str, new: str) -> None:
    await in_transaction(database, lambda one: one.execute(f"ALTER TABLE {old} RENAME TO {new}"))


async def test_batches_let_pass_what_waits_to_be_written(
    database: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_PATIENCE", 0.05)
    await aged(database, MessageStatus.SENT)
    go_on, released, order = asyncio.Event(), threading.Event(), []

    async def slow(transaction: Transaction, payloads: list[str]) -> list[str]:
        if transaction.dialect == "sqlite":
            # In the connection's thread, where nothing may be waited for.
            released.wait(20)
        else:
            await go_on.wait()
        order.extend(payloads)
        return payloads

    first = ledger.submit(slow, "first")  # type: ignore[arg-type]  # any sequence will do
    await asyncio.sleep(0)
    second = ledger.submit(slow, "second")  # type: ignore[arg-type]  # as above
    purging = asyncio.create_task(keeper(database, ledger).purge())
    await asyncio.sleep(0.1)
    assert len(await kept(database)) == 1
    go_on.set()
    released.set()
    assert await purging == 1
    assert order == ["first", "second"]
    await asyncio.gather(first, second)


async def test_after_its_end_nothing_more_is_taken(database: Database, ledger: Ledger) -> None:
    plan = await aged(database, MessageStatus.SENT, redact=True)
    one = keeper(database, ledger)
    await one.close()
    assert (await one.purge(), await one.redact()) == (0, 0)
    assert await kept(database) == {plan.message.id}


async def test_ids_of_the_past_are_in_the_order_of_time() -> None:
    assert id_of(LONG_AGO) < id_of(LONG_AGO) < id_of(LONG_AGO + SECOND) < read_id(new_id())
