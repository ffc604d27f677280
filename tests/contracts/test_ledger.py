"""The ledger over SQLite and PostgreSQL: group commit, and what its waiters hear."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest

from almenara.database import Database, Transaction
from almenara.deliveries import MessageStatus
from almenara.errors import UnavailableError
from almenara.ledger import Accepted, Ledger, accept_messages
from almenara.models import Message, new_id
from almenara.settings import Settings
from tests.stored import NOW, a_plan, count, is_stored, message_status, opened_database


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


@dataclass(eq=False)
class Topics:
    """Writes topics by name, and keeps the batches that it was handed."""

    batches: list[list[str]] = field(default_factory=list)
    transactions: list[object] = field(default_factory=list)

    async def __call__(self, transaction: Transaction, names: Sequence[str]) -> Sequence[str]:
        self.batches.append(list(names))
        self.transactions.append(transaction)
        for name in names:
            await add(transaction, name)
        return [f"written {name}" for name in names]


async def add(transaction: Transaction, name: str) -> None:
    """Write one row whose name must be unique."""
    await transaction.insert(
        "topic",
        {
            "id": "uuid",
            "name": "text",
            "strategy": "text",
            "enabled": "boolean",
            "created_at": "timestamptz",
            "updated_at": "timestamptz",
        },
        [(new_id(), name, "all", True, NOW, NOW)],
    )


async def revision(database: Database) -> int:
    [row] = await database.fetch("SELECT revision FROM configuration")
    return int(row["revision"])


async def names(database: Database) -> list[str]:
    return [row["name"] for row in await database.fetch("SELECT name FROM topic ORDER BY id")]


async def kept_busy(ledger: Ledger) -> asyncio.Event:
    """Let the ledger work on something until the event is set, so that what comes later waits."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_transaction: Transaction, payloads: Sequence[None]) -> Sequence[None]:
        begun.set()
        await go_on.wait()
        return payloads

    ledger.submit(slow, None)
    await begun.wait()
    return go_on


def every(futures: Sequence[asyncio.Future[str]]) -> asyncio.Future[list[str | BaseException]]:
    return asyncio.gather(*futures, return_exceptions=True)


async def test_what_is_written_is_committed_when_the_answer_comes(
    database: Database, ledger: Ledger
) -> None:
    assert await ledger.write(Topics(), "one") == "written one"
    assert await names(database) == ["one"]


async def test_all_that_waits_is_written_in_one_transaction_and_answered_in_order(
    database: Database, ledger: Ledger
) -> None:
    go_on, topics = await kept_busy(ledger), Topics()
    wanted = [f"name-{number}" for number in range(50)]
    futures = [ledger.submit(topics, name) for name in wanted]
    assert ledger.waiting_count == 50
    go_on.set()
    assert await every(futures) == [f"written {name}" for name in wanted]
    assert topics.batches == [wanted]
    assert await names(database) == wanted


async def test_several_kinds_of_operation_share_a_transaction_each_called_once(
    ledger: Ledger,
) -> None:
    go_on, one, other = await kept_busy(ledger), Topics(), Topics()
    futures = [ledger.submit(who, str(number)) for number, who in enumerate([one, other] * 3)]
    go_on.set()
    assert await every(futures) == [f"written {number}" for number in range(6)]
    assert (one.batches, other.batches) == ([["0", "2", "4"]], [["1", "3", "5"]])
    assert one.transactions[0] is other.transactions[0]


async def test_no_more_than_five_hundred_go_into_one_transaction(ledger: Ledger) -> None:
    go_on, topics = await kept_busy(ledger), Topics()
    futures = [ledger.submit(topics, str(number)) for number in range(501)]
    go_on.set()
    assert len(await every(futures)) == 501
    assert [len(batch) for batch in topics.batches] == [500, 1]


async def test_one_bad_row_fails_alone_and_the_others_are_stored(
    database: Database, ledger: Ledger
) -> None:
    go_on, topics = await kept_busy(ledger), Topics()
    futures = [ledger.submit(topics, name) for name in ("one", "twice", "twice", "two")]
    go_on.set()
    answers = await every(futures)
    assert answers[:2] + answers[3:] == ["written one", "written twice", "written two"]
    assert isinstance(answers[2], Exception)
    assert not isinstance(answers[2], UnavailableError)
    assert await names(database) == ["one", "twice", "two"]


async def test_a_mistake_in_an_operation_is_heard_by_its_waiter_and_the_ledger_goes_on(
    database: Database, ledger: Ledger
) -> None:
    async def mistaken(_transaction: Transaction, payloads: Sequence[str]) -> Sequence[str]:
        raise KeyError(payloads[0])

    async def forgetful(transaction: Transaction, payloads: Sequence[str]) -> Sequence[str]:
        await add(transaction, payloads[0])
        return []

    go_on, topics = await kept_busy(ledger), Topics()
    operations = (topics, mistaken, forgetful, topics)
    futures = [ledger.submit(one, str(number)) for number, one in enumerate(operations)]
    go_on.set()
    answers = await every(futures)
    assert [answers[0], answers[3]] == ["written 0", "written 3"]
    assert [type(answers[1]), type(answers[2])] == [KeyError, ValueError]
    assert await names(database) == ["0", "3"]
    assert ledger.running


async def test_a_unit_of_work_that_raises_takes_back_only_itself(
    database: Database, ledger: Ledger
) -> None:
    async def work(transaction: Transaction) -> None:
        await add(transaction, "undone")
        raise LookupError("changed my mind")

    go_on, topics = await kept_busy(ledger), Topics()
    before = ledger.submit(topics, "before")
    unit = asyncio.create_task(ledger.run(work))
    await asyncio.sleep(0)
    after = ledger.submit(topics, "after")
    go_on.set()
    with pytest.raises(LookupError, match="changed my mind"):
        await unit
    assert await every([before, after]) == ["written before", "written after"]
    assert topics.batches == [["before"], ["after"]]
    assert await names(database) == ["before", "after"]


async def test_a_unit_of_work_returns_what_it_returns_once_it_is_committed(
    database: Database, ledger: Ledger
) -> None:
    async def work(transaction: Transaction) -> int:
        await add(transaction, "one")
        return 42

    assert await ledger.run(work) == 42
    assert await names(database) == ["one"]


async def test_the_urgent_goes_first(ledger: Ledger) -> None:
    go_on, topics = await kept_busy(ledger), Topics()
    futures = [ledger.submit(topics, "one"), ledger.submit(topics, "two")]
    futures += [ledger.submit(topics, "urgent", urgent=True)]
    go_on.set()
    await every(futures)
    assert topics.batches == [["urgent", "one", "two"]]


async def test_a_full_list_refuses_what_is_not_urgent(database: Database) -> None:
    ledger, topics = Ledger(database, capacity=2), Topics()
    ledger.start()
    go_on = await kept_busy(ledger)
    futures = [ledger.submit(topics, "one"), ledger.submit(topics, "two")]
    with pytest.raises(UnavailableError, match="Too many requests wait"):
        ledger.submit(topics, "three")
    futures.append(ledger.submit(topics, "urgent", urgent=True))
    go_on.set()
    await every(futures)
    assert await ledger.write(topics, "four") == "written four"
    await ledger.close()
    assert await names(database) == ["urgent", "one", "two", "four"]


async def test_closing_writes_what_waits_and_refuses_what_comes_later(database: Database) -> None:
    ledger, topics = Ledger(database), Topics()
    ledger.start()
    assert ledger.running
    go_on = await kept_busy(ledger)
    future = ledger.submit(topics, "one")
    closing = asyncio.create_task(ledger.close())
    await asyncio.sleep(0)
    for urgent in (False, True):
        with pytest.raises(UnavailableError, match="The server is stopping"):
            ledger.submit(topics, "late", urgent=urgent)
    go_on.set()
    await closing
    assert future.result() == "written one"
    assert await names(database) == ["one"]
    assert not ledger.running
    await ledger.close()


async def test_a_ledger_that_was_never_started_refuses_and_closes(database: Database) -> None:
    ledger = Ledger(database)
    with pytest.raises(UnavailableError):
        await ledger.write(Topics(), "one")
    await ledger.close()


@pytest.mark.parametrize("name", ["one", "taken"])
async def test_what_is_on_the_list_is_written_though_its_waiter_gave_up(
    database: Database, ledger: Ledger, name: str
) -> None:
    await ledger.write(Topics(), "taken")
    go_on, topics = await kept_busy(ledger), Topics()
    waiter = asyncio.create_task(ledger.write(topics, name))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    future = ledger.submit(topics, "next")
    heard: list[str] = []
    future.add_done_callback(lambda one: heard.append(one.result()))
    go_on.set()
    assert await future == "written next"
    assert heard == ["written next"]
    assert await names(database) == list(dict.fromkeys(["taken", name, "next"]))


@pytest.mark.parametrize("operations", ["all succeed", "all fail"])
async def test_a_future_that_somebody_cancelled_all_the_same_holds_nobody_up(
    database: Database, ledger: Ledger, operations: str
) -> None:
    go_on, topics = await kept_busy(ledger), Topics()
    names_ = ["one", "two"] if operations == "all succeed" else ["one", "one"]
    futures = [ledger.submit(topics, name) for name in names_]
    futures[1].cancel()
    go_on.set()
    assert await futures[0] == "written one"
    assert await ledger.write(topics, "next") == "written next"
    assert await names(database) == [*dict.fromkeys(names_), "next"]


@contextmanager
def sqlite_locked(settings: Settings) -> Iterator[None]:
    """Let somebody else hold the write lock."""
    other = sqlite3.connect(settings.database_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_a_database_that_cannot_write_refuses_each_waiter_once_and_then_recovers(
    database: Database, ledger: Ledger, settings: Settings
) -> None:
    await database.writer.execute_query("PRAGMA busy_timeout = 20")
    topics = Topics()

    async def work(transaction: Transaction) -> None:
        await add(transaction, "unit")

    with sqlite_locked(settings):
        writes = [ledger.write(topics, str(number)) for number in range(5)]
        answers = await asyncio.gather(*writes, ledger.run(work), return_exceptions=True)
    assert [str(one) for one in answers] == [
        "The database cannot write just now; send it again."
    ] * 6
    assert {type(one) for one in answers} == {UnavailableError}
    assert await names(database) == []
    assert await ledger.write(topics, "again") == "written again"
    assert topics.batches == [["again"]]


async def test_an_accepted_message_is_stored_with_its_deliveries(
    database: Database, ledger: Ledger
) -> None:
    plan = a_plan(
        *("one", "two"),
        revision=await revision(database),
        title="Title",
        description="quotes \" ' and 漢字",
        tags=["a"],
        data={"deep": [1, None]},
        to=["ana@example.com"],
        reference="ref",
        metadata={"k": "v"},
    )
    assert await is_stored(ledger, plan)
    [row] = await Message.all().using_db(database.reader)
    for name in ("id", "topic", "title", "description", "format", "priority", "tags", "data"):
        assert getattr(row, name) == getattr(plan.message, name)
    assert (row.recipients, row.reference, row.metadata) == (["ana@example.com"], "ref", {"k": "v"})
    assert (row.sender, row.send_at, row.status) == (None, None, "queued")
    assert row.created_at == plan.message.created_at
    assert await count(database, "delivery") == 2


async def test_a_plan_of_an_older_configuration_is_refused_and_the_others_are_stored(
    database: Database, ledger: Ledger
) -> None:
    now = await revision(database)
    plans = [a_plan(revision=number) for number in (now, now - 1, now, now + 1)]
    go_on = await kept_busy(ledger)
    futures = [ledger.submit(accept_messages, plan) for plan in plans]
    go_on.set()
    words = [one.acceptance.value for one in await asyncio.gather(*futures)]
    assert words == ["stored", "stale", "stored", "stale"]
    stored_ids = {str(row["id"]) for row in await database.fetch("SELECT id FROM message")}
    assert stored_ids == {str(plans[0].message.id), str(plans[2].message.id)}
    assert await count(database, "delivery") == 2


async def test_a_message_without_a_route_is_stored_without_deliveries(
    database: Database, ledger: Ledger
) -> None:
    plan = a_plan(revision=await revision(database))
    plan = plan._replace(deliveries=(), status=MessageStatus.NO_ROUTE)
    assert await is_stored(ledger, plan)
    assert await message_status(database, plan) == "no_route"
    assert await count(database, "delivery") == 0


async def test_an_id_that_is_there_already_fails_alone(database: Database, ledger: Ledger) -> None:
    now = await revision(database)
    first = a_plan(revision=now)
    again = a_plan(id=first.message.id, revision=now, description="again")
    go_on = await kept_busy(ledger)
    futures = [ledger.submit(accept_messages, one) for one in (first, again, a_plan(revision=now))]
    go_on.set()
    answers = await asyncio.gather(*futures, return_exceptions=True)
    assert [isinstance(one, Accepted) for one in answers] == [True, False, True]
    assert isinstance(answers[1], Exception)
    assert [row["description"] for row in await database.fetch("SELECT * FROM message")] == [
        *("A word.", "A word.")
    ]


async def test_a_collision_is_tried_again_and_nobody_hears_of_it(
    database: Database, ledger: Ledger
) -> None:
    """The same batch is written again, whole."""
    topics = Topics()

    async def collides_once(transaction: Transaction, payloads: Sequence[str]) -> Sequence[str]:
        answers = await topics(transaction, payloads)
        if len(topics.batches) == 1:
            raise asyncpg.DeadlockDetectedError("deadlock detected")
        return answers

    go_on = await kept_busy(ledger)
    futures = [ledger.submit(collides_once, name) for name in ("one", "two")]
    go_on.set()
    assert await every(futures) == ["written one", "written two"]
    assert topics.batches == [["one", "two"]] * 2
    assert await names(database) == ["one", "two"]
