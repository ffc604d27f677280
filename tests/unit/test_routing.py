"""The table topic -> channels: how names are found, and when it is read anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from almenara import routing
from almenara.database import Database
from almenara.errors import InvalidInputError
from almenara.routing import Routing, Table, TopicRoute, find_route
from tests.serving import make_settings
from tests.stored import a_channel, a_plan, add_channel, add_topic, in_transaction, opened_database

TABLE = Table(
    revision=3,
    topics={
        "sales": TopicRoute("sales", True, "all", ("team-slack", "resting", "backoffice")),
        "closed": TopicRoute("closed", False, "all", ("team-slack",)),
        "idle": TopicRoute("idle", True, "all", ("resting",)),
        "choosy": TopicRoute(
            "choosy",
            True,
            "all",
            ("team-slack", "resting", "backoffice"),
            conditions={"team-slack": {"priority": 1}, "resting": {"priority": 1}},
        ),
    },
    channels={
        "team-slack": a_channel("team-slack"),
        "backoffice": a_channel("backoffice"),
        "resting": a_channel("resting", enabled=False),
    },
)


def route(
    topic: str | None, channel: str | None = None, **fields: Any
) -> tuple[str | None, list[str]]:
    found = find_route(TABLE, topic, channel, a_plan(**fields).message)
    return found.topic, [one.name for one in found.channels]


@pytest.mark.parametrize("written", ["sales", "Sales", " SALES\n"])
def test_a_topic_is_found_whatever_the_case_with_its_enabled_channels_in_order(
    written: str,
) -> None:
    assert route(written) == ("sales", ["team-slack", "backoffice"])


@pytest.mark.parametrize("topic", ["closed", "idle"])
def test_a_disabled_topic_or_one_of_disabled_channels_leads_nowhere(topic: str) -> None:
    assert route(topic) == (topic, [])


@pytest.mark.parametrize(
    ("priority", "names"), [(1, ["team-slack", "backoffice"]), (2, ["backoffice"])]
)
def test_a_channel_whose_condition_does_not_fit_is_left_out(
    priority: int, names: list[str]
) -> None:
    assert route("choosy", priority=priority) == ("choosy", names)


def test_a_condition_keeps_nothing_from_a_channel_that_is_addressed_directly() -> None:
    assert route("choosy", "team-slack", priority=5) == ("choosy", ["team-slack"])


@pytest.mark.parametrize("written", ["team-slack", " Team-Slack "])
def test_a_channel_is_addressed_directly(written: str) -> None:
    assert route(None, written) == (None, ["team-slack"])


def test_with_both_the_channel_wins_and_the_topic_is_kept_as_it_would_be_stored() -> None:
    assert route(" No-Such-Topic ", "backoffice") == ("no-such-topic", ["backoffice"])


def test_what_is_addressed_to_a_disabled_channel_waits_for_it() -> None:
    assert route(None, "resting") == (None, ["resting"])


@pytest.mark.parametrize(
    ("topic", "channel", "code", "message"),
    [
        ("sale", None, "topic_not_found", "There is no topic 'sale'. Did you mean sales?"),
        ("SALSE", None, "topic_not_found", "There is no topic 'SALSE'. Did you mean sales?"),
        ("zzz", None, "topic_not_found", "There is no topic 'zzz'."),
        (None, None, "topic_not_found", "There is no topic ''."),
        (
            "sales",
            "team-slak",
            "channel_not_found",
            "There is no channel 'team-slak'. Did you mean team-slack?",
        ),
        (None, "zzz", "channel_not_found", "There is no channel 'zzz'."),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    topic: str | None, channel: str | None, code: str, message: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        find_route(TABLE, topic, channel, a_plan().message)
    assert (refused.value.exact_code, refused.value.message) == (code, message)
    [wrong] = refused.value.errors
    assert (wrong.field, wrong.code) == (code.removesuffix("_not_found"), code)


def test_a_long_name_is_not_repeated_in_full() -> None:
    with pytest.raises(InvalidInputError) as refused:
        TABLE.topic("x" * 10_000)
    assert len(refused.value.message) < 100


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened_database(make_settings(tmp_path)) as one:
        yield one


async def _move(database: Database, sql: str = "") -> None:
    """Change the configuration as its writers do: with its revision."""

    async def work(transaction: Any) -> None:
        await transaction.execute("UPDATE configuration SET revision = revision + 1")
        if sql:
            await transaction.execute(sql)

    await in_transaction(database, work)


async def _sales(database: Database) -> None:
    one, two = await add_channel(database, "one"), await add_channel(database, "two", "hold")
    await add_topic(database, "sales", two, one)
    await add_topic(database, "empty")


async def test_the_table_is_read_from_the_database(database: Database) -> None:
    await _sales(database)
    await _move(database)
    table = await Routing(database).refresh()
    assert table.topics["sales"] == TopicRoute("sales", True, "all", ("two", "one"))
    assert table.topics["empty"].channels == ()
    two = table.channels["two"]
    assert (two.plugin, two.settings, two.enabled, two.on_unknown) == ("Log", {}, True, "hold")
    assert two.retry_schedule == (timedelta(seconds=10), timedelta(minutes=1))
    assert (two.timeout_seconds, two.concurrency, two.revision) == (15.0, 16, 1)


async def test_it_is_read_anew_only_when_the_revision_moved(database: Database) -> None:
    await _move(database)
    routing = Routing(database)
    first = await routing.refresh()
    await _sales(database)
    assert await routing.refresh() is first
    await _move(database)
    assert set((await routing.refresh()).topics) == {"sales", "empty"}
    assert routing.table.revision == first.revision + 1


async def test_a_reader_keeps_the_table_that_it_has_in_its_hand(database: Database) -> None:
    await _sales(database)
    await _move(database)
    routing = Routing(database)
    before = await routing.refresh()
    await _move(database, "DELETE FROM topic")
    await routing.refresh()
    assert (set(before.topics), set(routing.table.topics)) == ({"sales", "empty"}, set())


async def test_of_two_readings_at_once_the_newer_is_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = asyncio.Event(), asyncio.Event()
    read = routing._read

    async def overtaken(client: Any, revision: int) -> Table:
        """Read, but let the next reading be faster."""
        table = await read(client, revision)
        if not reading.is_set():
            reading.set()
            await go_on.wait()
        return table

    monkeypatch.setattr(routing, "_read", overtaken)
    await _move(database)
    one = Routing(database)
    slow = asyncio.create_task(one.refresh())
    await reading.wait()
    await _sales(database)
    await _move(database)
    newer = await one.refresh()
    go_on.set()
    assert await slow is newer
    assert set(one.table.topics) == {"sales", "empty"}


async def test_a_link_to_a_channel_that_was_not_read_yet_is_left_out(database: Database) -> None:
    """On PostgreSQL the tables are read one after another: a link may be newer than they are."""
    await _sales(database)
    await database.writer.execute_query("PRAGMA foreign_keys = OFF")
    await _move(database, "DELETE FROM channel WHERE name = 'two'")
    table = await Routing(database).refresh()
    assert table.topics["sales"].channels == ("one",)
    assert [one.name for one in table.channels_of(table.topic("sales"))] == ["one"]
