"""Replays of failover chains: each is sent again as one, unless it has sent the message."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from almenara.database import Database, read_timestamp
from almenara.deliveries import Plan, Reason, Status
from almenara.replay import Selection
from almenara.settings import Settings
from tests.contracts.test_chains import CHANNELS, STEP, a_chain, claimed, ended, rows_of
from tests.contracts.test_replays import Bench, bench_of, counts
from tests.stored import NOW, SECOND, add_channel, opened_database

FAILED, SENT, HELD = Status.FAILED, Status.SENT, Status.HELD


@pytest.fixture
async def bench(settings: Settings) -> AsyncIterator[Bench]:
    async with opened_database(settings) as database, bench_of(database) as one:
        for name in CHANNELS:
            await add_channel(database, name)
        yield one


async def chain(database: Database, *ends: Status) -> Plan:
    """Store a chain whose deliveries have come to these ends, in order."""
    plan = await a_chain(database)
    for place, status in enumerate(ends):
        moment = NOW + 2 * place * SECOND
        [claim] = await claimed(database, moment)
        await ended(database, claim, status, moment)
    return plan


async def test_a_chain_that_failed_is_sent_again_as_a_chain(bench: Bench) -> None:
    plan = await chain(bench.database, FAILED, FAILED, FAILED)
    replay = await bench.replays.create(Selection(channel="second"))
    await bench.advance()
    assert counts(await bench.replay(replay.id)) == ("done", 1, 3, 0)
    rows = [row for row in await rows_of(bench.database, plan) if row["resend_of"]]
    assert [(row["channel"], row["status"]) for row in rows] == [(n, "pending") for n in CHANNELS]
    assert all(row["chained"] and str(row["replay_id"]) == str(replay.id) for row in rows)
    assert [read_timestamp(row["due_at"]) for row in rows] == [
        bench.now + place * STEP for place in range(3)
    ]


async def test_a_chain_found_through_several_of_its_channels_is_sent_again_once(
    bench: Bench,
) -> None:
    plan = await chain(bench.database, FAILED, FAILED, FAILED)
    replay = await bench.replays.create(Selection(reason=Reason.PERMANENT), rate="60/m")
    await bench.advance()
    assert counts(await bench.replay(replay.id)) == ("running", 3, 3, 0)
    bench.now += 2 * STEP
    await bench.advance()
    assert counts(await bench.replay(replay.id)) == ("done", 3, 3, 0)
    assert len(await rows_of(bench.database, plan)) == 6


@pytest.mark.parametrize("ends", [(FAILED, SENT), (FAILED, HELD, FAILED), (FAILED,)])
async def test_a_chain_that_sent_the_message_or_still_may_is_left_out(
    bench: Bench, ends: tuple[Status, ...]
) -> None:
    plan = await chain(bench.database, *ends)
    replay = await bench.replays.create(Selection(channel="first"))
    await bench.advance()
    assert counts(await bench.replay(replay.id)) == ("done", 1, 0, 1)
    assert len(await rows_of(bench.database, plan)) == 3


async def test_a_chain_that_sent_the_message_is_sent_again_where_that_is_asked_for(
    bench: Bench,
) -> None:
    # What was not needed is no part of what is looked for, but of the chain.
    plan = await chain(bench.database, SENT)
    replay = await bench.replays.create(Selection(channel="first", status="sent"))
    await bench.advance()
    assert counts(await bench.replay(replay.id)) == ("done", 1, 3, 0)
    assert len(await rows_of(bench.database, plan)) == 6
