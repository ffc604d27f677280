"""Purging beside everything else: accepting, resending, other processes, and `kill -9`."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from almenara.api.parts import Parts
from almenara.app import running
from almenara.database import Database, Transaction
from almenara.deliveries import Key, MessageStatus, NewMessage, Plan, Status
from almenara.errors import ConflictError, NotFoundError
from almenara.ledger import Acceptance, Ledger, accept_messages, record_results
from almenara.ledger.idempotency import _losers
from almenara.ledger.purge import purge_messages, redact_messages
from almenara.models import new_id
from almenara.retention import Retention
from almenara.settings import Settings
from tests.aged import CUT_OFF, DAY, LONG_AGO, aged, id_of, kept, message_of, orphans
from tests.serving import SECRET_KEY, make_settings
from tests.stored import (
    NOW,
    a_plan,
    a_result,
    claims_of,
    count,
    deliveries_of,
    in_transaction,
    opened_database,
    statuses_of,
)

only_on_postgres = pytest.mark.parametrize(
    "settings", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)

#: Purges once, from the moment it is told to, and says how many messages went.
_PURGE = """
import asyncio, sys
from datetime import datetime
from almenara.database import open_database
from almenara.ledger import Ledger
from almenara.retention import Retention
from almenara.settings import read_settings

async def main():
    database = await open_database(read_settings())
    ledger = Ledger(database)
    ledger.start()
    now = datetime.fromisoformat(sys.argv[1])
    retention = Retention(database=database, ledger=ledger, clock=lambda: now, days=90)
    print("ready", flush=True)
    sys.stdin.readline()
    print(await retention.purge(), flush=True)
    await ledger.close()
    await database.close()

asyncio.run(main())
"""


@pytest.fixture
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    async with running(settings, clock=lambda: NOW) as one:
        yield one


def keeper(database: Database, ledger: Ledger) -> Retention:
    return Retention(database=database, ledger=ledger, clock=lambda: NOW, days=90)


async def many_old(database: Database, number: int, *, revision: int = 1) -> list[Plan]:
    """Store many sent messages of long ago at once, each with a delivery, an attempt, a key."""
    plans = []
    for _ in range(number):
        plan = a_plan("log", now=LONG_AGO, claimed=True, id=id_of(LONG_AGO), revision=revision)
        key = Key("bot", str(plan.message.id), "as it was written")
        plans.append(Plan(plan.message, plan.status, plan.deliveries, revision, key))
    results = [
        a_result(claim, Status.SENT, at=LONG_AGO) for plan in plans for claim in claims_of(plan)
    ]

    async def work(transaction: Transaction) -> None:
        await accept_messages(transaction, plans)
        await record_results(transaction, results)

    await in_transaction(database, work)
    return plans


async def revision_of(database: Database) -> int:
    [row] = await database.fetch("SELECT revision FROM configuration")
    return int(row["revision"])


async def test_everything_is_accepted_while_old_messages_are_purged(parts: Parts) -> None:
    old = await many_old(parts.database, 350, revision=await revision_of(parts.database))

    async def send(number: int) -> UUID:
        message = NewMessage(
            id=new_id(), topic="hello", description=f"{number}", created_at=NOW, sender="bot"
        )
        return (await parts.acceptor.accept(message, key=f"{number}")).message_id

    async def send_on() -> list[UUID]:
        accepted: list[UUID] = []
        while not purging.done():
            accepted += await asyncio.gather(*(send(len(accepted) + one) for one in range(20)))
        return accepted

    purging = asyncio.create_task(keeper(parts.database, parts.ledger).purge())
    accepted = await send_on()
    assert await purging == len(old)
    assert await kept(parts.database) == set(accepted)
    assert await orphans(parts.database) == []
    assert await count(parts.database, "idempotency_key") == len(accepted) > 0


@pytest.mark.parametrize("resend_first", [True, False])
async def test_a_resend_at_the_same_moment_is_done_whole_or_finds_nothing(
    parts: Parts, *, resend_first: bool
) -> None:
    [plan] = await many_old(parts.database, 1, revision=await revision_of(parts.database))
    resend = parts.operator.resend_message(plan.message.id, sent_too=True)
    purge = parts.ledger.run(lambda one: purge_messages(one, [plan.message.id], before=CUT_OFF))
    both: Sequence[Any] = [resend, purge] if resend_first else [purge, resend]
    answers = await asyncio.gather(*both, return_exceptions=True)
    if resend_first:
        assert answers[1] == 0
        assert len(await deliveries_of(parts.database, plan)) == 2
    else:
        assert answers[0] == 1
        assert isinstance(answers[1], NotFoundError)
        assert await deliveries_of(parts.database, plan) == []
    assert await orphans(parts.database) == []


@only_on_postgres
async def test_a_message_that_another_process_is_resending_is_passed_by(
    parts: Parts,
) -> None:
    plans = await many_old(parts.database, 2, revision=await revision_of(parts.database))
    async with parts.database.transaction() as transaction:
        await transaction.fetch(
            "SELECT id FROM message WHERE id = $1 FOR UPDATE", plans[0].message.id
        )
        assert await keeper(parts.database, parts.ledger).purge() == 1
        assert await kept(parts.database) == {plans[0].message.id}
    assert await keeper(parts.database, parts.ledger).purge() == 1


@only_on_postgres
async def test_what_another_process_has_in_hand_is_redacted_when_it_lets_go(
    settings: Settings,
) -> None:
    async with opened_database(settings) as database:
        ledger = Ledger(database)
        ledger.start()
        plan = await aged(database, MessageStatus.SENT, redact=True)
        async with database.transaction() as transaction:
            await transaction.fetch("SELECT id FROM message FOR UPDATE")
            assert await keeper(database, ledger).redact() == 0
        assert (await message_of(database, plan))["redacted_at"] is None
        assert await keeper(database, ledger).redact() == 1
        await ledger.close()


@only_on_postgres
@pytest.mark.parametrize("whole", ["message", "delivery"])
async def test_a_resend_waits_for_another_process_that_purges_and_finds_nothing(
    parts: Parts, whole: str
) -> None:
    [plan] = await many_old(parts.database, 1, revision=await revision_of(parts.database))
    async with parts.database.transaction() as transaction:
        assert await purge_messages(transaction, [plan.message.id], before=CUT_OFF) == 1
        resend = asyncio.create_task(
            parts.operator.resend_message(plan.message.id, sent_too=True)  # type: ignore[arg-type]  # either will do
            if whole == "message"
            else parts.operator.resend_delivery(plan.deliveries[0].id)
        )
        await waits_for_a_lock(parts.database)
        assert not resend.done()
    with pytest.raises(NotFoundError):
        await resend


@only_on_postgres
async def test_a_resend_waits_for_another_process_that_redacts_and_is_refused(
    parts: Parts,
) -> None:
    [plan] = await many_old(parts.database, 1, revision=await revision_of(parts.database))
    async with parts.database.transaction() as transaction:
        await transaction.execute("UPDATE message SET redact = TRUE")
        assert await redact_messages(transaction, [plan.message.id], now=NOW) == 1
        resend = asyncio.create_task(parts.operator.resend_message(plan.message.id, sent_too=True))
        await waits_for_a_lock(parts.database)
    with pytest.raises(ConflictError, match="dropped"):
        await resend
    assert len(await deliveries_of(parts.database, plan)) == 1


async def waits_for_a_lock(database: Database) -> None:
    """Wait until somebody on the database waits for a lock."""
    while not await database.fetch(
        "SELECT 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ):
        await asyncio.sleep(0.01)


async def test_a_key_that_was_purged_since_it_was_found_is_planned_anew(
    settings: Settings,
) -> None:
    plan = a_plan()
    plan = Plan(plan.message, plan.status, plan.deliveries, 1, Key("bot", "1", "as written"))
    async with opened_database(settings) as database:
        answers = await in_transaction(database, lambda one: _losers(one, [plan]))
    assert answers[plan.message.id].acceptance is Acceptance.STALE


# --- several processes, and their deaths


def purger(settings: Settings) -> subprocess.Popen[str]:
    """Start a process that purges when it is told to."""
    url = settings.database_url
    process = subprocess.Popen(
        [sys.executable, "-c", _PURGE, NOW.isoformat()],
        env=os.environ
        | {"ALMENARA_DATA_DIR": str(settings.data_dir), "ALMENARA_SECRET_KEY": SECRET_KEY}
        | ({"ALMENARA_DATABASE_URL": url.get_secret_value()} if url else {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def told(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.timeout(120)
@pytest.mark.unmeasured
async def test_kill_9_during_a_purge_leaves_each_message_whole_or_gone(
    settings: Settings,
) -> None:
    chance = random.Random(20261125)
    async with opened_database(settings) as database:
        old = {plan.message.id for plan in await many_old(database, 2_000)}
        stays = await aged(database, MessageStatus.HELD)
    for _ in range(3):
        process = await asyncio.to_thread(purger, settings)
        told(process)
        await asyncio.sleep(chance.uniform(0.05, 0.3))
        process.kill()
        await asyncio.to_thread(process.communicate)
        async with opened_database(settings) as database:
            left = await kept(database)
            assert left <= old | {stays.message.id}
            assert stays.message.id in left
            assert await orphans(database) == []
            for table in ("delivery", "attempt", "idempotency_key"):
                assert await count(database, table) == len(left)
            if settings.uses_sqlite:
                assert await database.fetch("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    async with opened_database(settings) as database:
        ledger = Ledger(database)
        ledger.start()
        assert await keeper(database, ledger).purge() == len(left) - 1
        await ledger.close()
        assert await kept(database) == {stays.message.id}
        assert await orphans(database) == []


@pytest.mark.timeout(120)
@only_on_postgres
@pytest.mark.unmeasured
async def test_several_processes_share_the_work(settings: Settings) -> None:
    async with opened_database(settings) as database:
        await many_old(database, 1_000)
        young = await aged(database, MessageStatus.SENT, accepted=NOW - DAY)
        purgers = await asyncio.gather(*(asyncio.to_thread(purger, settings) for _ in range(3)))
        for one in purgers:
            told(one)
        answers = [await asyncio.to_thread(one.communicate) for one in purgers]
        assert [one.returncode for one in purgers] == [0, 0, 0]
        assert sum(int(out.splitlines()[-1]) for out, _ in answers) == 1_000
        assert await kept(database) == {young.message.id}
        assert await orphans(database) == []


# --- SQLite's files


async def test_sqlites_log_is_emptied_unless_a_reader_is_in_it(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    log = settings.data_dir / "almenara.sqlite3-wal"
    async with opened_database(settings) as database:
        await aged(database, MessageStatus.SENT)
        reader = sqlite3.connect(settings.database_file, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM message").fetchall()
        await aged(database, MessageStatus.SENT)
        assert await database.truncate_log() is False
        assert log.stat().st_size > 0
        reader.close()
        assert await database.truncate_log() is True
        assert log.stat().st_size == 0
        [row] = await database.writer.execute_query_dict("PRAGMA busy_timeout")
        assert list(row.values()) == [5000]


@only_on_postgres
async def test_postgres_has_no_log_to_be_emptied(settings: Settings) -> None:
    async with opened_database(settings) as database:
        plan = await aged(database, MessageStatus.SENT)
        assert await database.truncate_log() is True
        assert await statuses_of(database, plan) == [("sent", None)]
        assert (await message_of(database, plan))["created_at"] < datetime.now(UTC)
