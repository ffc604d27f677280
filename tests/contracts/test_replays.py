"""Replays, step by step: each delivery is sent again once, at the rate's pace, whoever stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from almenara.database import Database, Row, Transaction
from almenara.deliveries import Plan, Reason, Status
from almenara.ledger import Ledger, insert_messages, record_results
from almenara.models import Replay
from almenara.replay import Replays, Selection, counting, read_rate, replays
from almenara.replay import step as step_module
from almenara.replay.pace import Pace
from almenara.resend import insert_again, plan_again, read_newest
from almenara.routing import Routing
from almenara.settings import Settings
from tests.serving import until
from tests.stored import (
    NOW,
    SECOND,
    a_plan,
    a_result,
    add_channel,
    claims_of,
    deliveries_of,
    in_transaction,
    message_status,
    opened_database,
)

TEAM = Selection(channel="team")


class Bench:
    """Replays of one process, worked off only when a test says so, by a clock that it moves."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ledger = Ledger(database)
        self.now = NOW + timedelta(hours=1)
        self.rung: list[str] = []
        self.replays = Replays(
            database=database,
            ledger=self.ledger,
            routing=Routing(database),
            ring=self.rung.extend,
            clock=lambda: self.now,
        )

    async def advance(self, times: int = 1) -> None:
        for _ in range(times):
            await self.replays.advance()

    async def replay(self, replay_id: UUID) -> Replay:
        return (await self.replays.get(replay_id)).replay


@asynccontextmanager
async def bench_of(database: Database) -> AsyncIterator[Bench]:
    bench = Bench(database)
    bench.ledger.start()
    yield bench
    await bench.ledger.close()


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with opened_database(settings) as one:
        await add_channel(one, "team")
        yield one


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    async with bench_of(database) as one:
        yield one


@pytest.fixture
def steps_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a step without a rate make two deliveries."""
    monkeypatch.setattr(
        step_module, "read_rate", lambda text: read_rate(text) if text else Pace(2, timedelta())
    )


async def ended(
    database: Database,
    number: int = 1,
    status: Status = Status.FAILED,
    *channels: str,
    reason: Reason | None = None,
    **fields: Any,
) -> list[Plan]:
    """Store messages whose deliveries have ended so."""
    plans = [a_plan(*channels, claimed=True, **fields) for _ in range(number)]
    changes = {"reason": reason} if reason else {}
    results = [a_result(one, status, **changes) for plan in plans for one in claims_of(plan)]

    async def work(transaction: Transaction) -> None:
        await insert_messages(transaction, plans)
        await record_results(transaction, results)

    await in_transaction(database, work)
    return plans


async def successors(database: Database, plans: Sequence[Plan]) -> list[int]:
    """Count, for each message, the deliveries beyond its first."""
    return [len(await deliveries_of(database, plan)) - 1 for plan in plans]


async def set_message(database: Database, plan: Plan, column: str, value: object) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.execute(
            f"UPDATE message SET {column} = $1 WHERE id = $2", value, plan.message.id
        )

    await in_transaction(database, work)


async def send_again(database: Database, plan: Plan) -> None:
    """Do what an operator does who sends one message again."""

    async def work(transaction: Transaction) -> None:
        rows = await read_newest(transaction, [plan.message.id])
        await insert_again(transaction, [plan_again([row], now=NOW)[0] for row in rows])

    await in_transaction(database, work)


def counts(replay: Replay) -> tuple[str, int, int, int]:
    return replay.status, replay.total_count, replay.resent_count, replay.skipped_count


async def test_what_failed_is_sent_again_once_and_the_old_rows_stay(
    database: Database, bench: Bench
) -> None:
    plans = await ended(database, 3)
    old: list[Row] = [row for plan in plans for row in await deliveries_of(database, plan)]
    replay = await bench.replays.create(TEAM)
    assert counts(replay) == ("running", 3, 0, 0)
    await bench.advance(2)
    progress = await bench.replays.get(replay.id)
    assert counts(progress.replay) == ("done", 3, 3, 0)
    assert progress.replay.finished_at == bench.now
    assert progress.deliveries == {Status.PENDING: 3}
    assert bench.rung == ["team"]
    for plan, before in zip(plans, old, strict=True):
        first, new = await deliveries_of(database, plan)
        assert first == before
        assert (str(new["resend_of"]), str(new["replay_id"])) == (str(first["id"]), str(replay.id))
        assert (new["status"], new["attempt_number"], new["reason"]) == ("pending", 0, None)
        assert await message_status(database, plan) == "queued"


@pytest.mark.usefixtures("steps_of_two")
async def test_another_process_goes_on_exactly_where_the_first_was_stopped(
    database: Database, bench: Bench
) -> None:
    plans = await ended(database, 7)
    replay = await bench.replays.create(TEAM)
    await bench.advance()
    assert await successors(database, plans) == [1, 1, 0, 0, 0, 0, 0]
    async with bench_of(database) as other:
        await other.advance()
        assert await successors(database, plans) == [1, 1, 1, 1, 0, 0, 0]
        await other.advance(2)
        assert counts(await other.replay(replay.id)) == ("done", 7, 7, 0)
    await bench.advance()
    assert await successors(database, plans) == [1] * 7


@pytest.mark.usefixtures("steps_of_two")
async def test_a_step_that_is_not_committed_made_nothing(
    database: Database, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = await ended(database, 3)
    replay = await bench.replays.create(TEAM)

    async def dies(*_: object, **__: object) -> None:
        raise ValueError("the process died here")

    with monkeypatch.context() as patch:
        patch.setattr(step_module, "_move_on", dies)
        await bench.advance()
    assert await successors(database, plans) == [0, 0, 0]
    await bench.advance(2)
    assert await successors(database, plans) == [1, 1, 1]
    assert counts(await bench.replay(replay.id)) == ("done", 3, 3, 0)


@pytest.mark.usefixtures("steps_of_two")
async def test_two_workers_share_the_work_and_send_nothing_again_twice(
    database: Database, bench: Bench
) -> None:
    plans = await ended(database, 21)
    first = await bench.replays.create(TEAM)
    second = await bench.replays.create(Selection(reason=Reason.PERMANENT))
    # Each has a ledger of its own: on PostgreSQL their transactions run side by side.
    async with bench_of(database) as other:
        for _ in range(40):
            await asyncio.gather(bench.advance(), other.advance())
    assert await successors(database, plans) == [1] * 21
    ends = [await bench.replay(one.id) for one in (first, second)]
    assert [one.status for one in ends] == ["done", "done"]
    assert sum(one.resent_count for one in ends) == 21
    for one in ends:
        assert one.resent_count + one.skipped_count <= 21


@pytest.mark.parametrize(
    ("rate", "span", "allowed"),
    [
        ("3/s", SECOND, 3),
        ("30/m", timedelta(minutes=1), 30),
        ("500/h", timedelta(hours=1), 500),
        ("90/m", timedelta(minutes=1), 90),
    ],
)
async def test_a_rate_is_never_exceeded_in_any_span(
    database: Database, bench: Bench, rate: str, span: timedelta, allowed: int
) -> None:
    await ended(database, 40)
    replay = await bench.replays.create(TEAM, rate=rate)
    made: list[datetime] = []
    while (await bench.replay(replay.id)).status == "running":
        before = len(made)
        await bench.advance()
        made += [bench.now] * ((await bench.replay(replay.id)).resent_count - before)
        bench.now += span / allowed / 2
    assert len(made) == 40
    for moment in made:
        assert sum(moment <= one < moment + span for one in made) <= allowed


async def test_what_cannot_be_sent_any_more_is_left_out_and_counted(
    database: Database, bench: Bench
) -> None:
    await add_channel(database, "gone")
    fine, redacted, again, expired, lost, last = [
        *await ended(database, 3),
        *await ended(database, expires_at=NOW + timedelta(minutes=30)),
        *await ended(database, 1, Status.FAILED, "gone"),
        *await ended(database),
    ]
    replay = await bench.replays.create(Selection(reason=Reason.PERMANENT))
    await set_message(database, redacted, "redacted_at", NOW)
    await send_again(database, again)
    await in_transaction(
        database, lambda one: one.execute("DELETE FROM channel WHERE name = $1", "gone")
    )
    await bench.advance()
    assert counts(await bench.replay(replay.id)) == ("done", 6, 2, 3)
    plans = [fine, redacted, again, expired, lost, last]
    assert await successors(database, plans) == [1, 0, 1, 0, 0, 1]


async def test_what_is_sent_again_between_the_look_and_the_step_counts_as_left_out(
    database: Database, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    [plan] = await ended(database)
    replay = await bench.replays.create(TEAM)
    is_there = step_module._is_still_there

    async def slowly(transaction: Transaction, one: Replay) -> bool:
        rows = await read_newest(transaction, [plan.message.id])
        await insert_again(transaction, [plan_again([row], now=NOW)[0] for row in rows])
        return await is_there(transaction, one)

    monkeypatch.setattr(step_module, "_is_still_there", slowly)
    await bench.advance()
    assert counts(await bench.replay(replay.id)) == ("done", 1, 0, 1)
    assert await successors(database, [plan]) == [1]


async def test_what_is_newer_than_the_replay_or_was_made_by_it_is_not_its_business(
    database: Database, bench: Bench
) -> None:
    plans = await ended(database, 2)
    replay = await bench.replays.create(TEAM)
    newer = await ended(database)
    # As if made by a process whose clock is behind.
    await in_transaction(
        database,
        lambda one: one.execute(
            "UPDATE delivery SET replay_id = $1 WHERE message_id = $2",
            *(replay.id, plans[1].message.id),
        ),
    )
    await bench.advance()
    assert await successors(database, plans + newer) == [1, 0, 0]


@pytest.mark.usefixtures("steps_of_two")
async def test_a_cancelled_replay_makes_nothing_more_and_keeps_what_it_made(
    database: Database, bench: Bench
) -> None:
    plans = await ended(database, 5)
    replay = await bench.replays.create(TEAM)
    await bench.advance()
    await bench.replays.cancel(replay.id)
    await bench.advance(3)
    ended_replay = await bench.replay(replay.id)
    assert counts(ended_replay) == ("cancelled", 5, 2, 0)
    assert ended_replay.finished_at == bench.now
    assert await successors(database, plans) == [1, 1, 0, 0, 0]


async def test_a_replay_that_is_cancelled_during_a_step_is_left_alone(
    database: Database, bench: Bench
) -> None:
    plans = await ended(database)
    replay = await bench.replays.create(TEAM)
    await bench.replays.cancel(replay.id)
    step = await step_module.make_step(database, bench.ledger, replay, clock=lambda: bench.now)
    assert step is None
    assert await successors(database, plans) == [0]


async def test_more_than_one_statement_counts_is_counted_exactly_and_a_dry_run_is_capped(
    database: Database, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "COUNTED_AT_ONCE", 3)
    plans = await ended(database, 7)
    found = await bench.replays.dry_run(TEAM)
    assert (found.count, found.count_is_capped) == (3, True)
    assert [one.message_id for one in found.sample] == [plan.message.id for plan in plans]
    assert (await bench.replays.create(TEAM)).total_count == 7
    monkeypatch.setattr(counting, "COUNTED_AT_ONCE", 7)
    found = await bench.replays.dry_run(TEAM)
    assert (found.count, found.count_is_capped) == (7, False)
    assert await successors(database, plans) == [0] * 7


async def test_a_replay_that_cannot_go_on_stops_no_other(database: Database, bench: Bench) -> None:
    plans = await ended(database, 2)
    broken = await bench.replays.create(TEAM)
    await in_transaction(
        database,
        lambda one: one.execute("UPDATE replay SET rate = 'often' WHERE id = $1", broken.id),
    )
    replay = await bench.replays.create(TEAM)
    await bench.advance()
    assert (await bench.replay(replay.id)).status == "done"
    assert (await bench.replay(broken.id)).status == "running"
    assert await successors(database, plans) == [1, 1]


async def test_a_running_process_goes_on_as_soon_as_the_database_lets_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "_LONGEST_SLEEPS", {"postgres": 0.02, "sqlite": 0.02})
    plans = await ended(database, 2)
    async with bench_of(database) as bench:
        replay = await bench.replays.create(TEAM)
    # The ledger of the first is closed: this one's is not open yet, and its table is away.
    late = Bench(database)
    late.replays.start()
    await asyncio.sleep(0.1)

    async def rename(old: str, new: str) -> None:
        await in_transaction(
            database, lambda one: one.execute(f"ALTER TABLE {old} RENAME TO {new}")
        )

    await rename("replay", "away")
    await asyncio.sleep(0.1)
    await rename("away", "replay")
    assert await successors(database, plans) == [0, 0]
    late.ledger.start()

    async def is_done() -> bool:
        return (await late.replay(replay.id)).status == "done"

    await until(is_done)
    await late.replays.close()
    await late.ledger.close()
    assert await successors(database, plans) == [1, 1]
