"""News become messages in the transaction of their cause, by the configuration of that moment."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest

from almenara.announce import Announcer
from almenara.database import Database, Transaction
from almenara.news import News, SystemTopic
from almenara.routing import Routing
from almenara.settings import Settings
from tests.stored import NOW, add_channel, add_topic, count, opened_database

FAILED = SystemTopic.DELIVERY_FAILED


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with opened_database(settings) as one:
        yield one


def news(data: Mapping[str, Any] | None = None, *, key: str | None = None) -> News:
    return News(FAILED, NOW, "Delivery failed", "It failed.", data or {}, key)


async def told(database: Database, routing: Routing, *told_news: News) -> None:
    async with database.transaction() as transaction:
        await Announcer(routing)(transaction, told_news)


async def changed(transaction: Transaction) -> None:
    await transaction.execute("UPDATE configuration SET revision = revision + 1")


async def test_a_topic_that_another_process_made_just_now_is_told(database: Database) -> None:
    routing = Routing(database)
    await routing.refresh()
    channel_id = await add_channel(database, "ops")
    await add_topic(database, FAILED, channel_id)
    async with database.transaction() as transaction:
        await changed(transaction)
    assert FAILED not in routing.table.topics
    await told(database, routing, news({"channel": "shop"}))
    [delivery] = await database.fetch("SELECT * FROM delivery")
    [message] = await database.fetch("SELECT * FROM message")
    assert (message["topic"], message["sender"]) == (FAILED, "almenara")
    assert (delivery["channel"], delivery["status"]) == ("ops", "pending")


async def test_without_its_topic_nothing_is_written(database: Database) -> None:
    routing = Routing(database)
    await told(database, routing, news())
    assert await count(database, "message") == 0


async def test_news_with_a_key_are_written_once(database: Database) -> None:
    await add_topic(database, FAILED, await add_channel(database, "ops"))
    routing = Routing(database)
    for _ in range(2):
        await told(database, routing, news(key="the same"))
    assert await count(database, "message") == 1


async def test_news_die_with_the_transaction_of_their_cause(database: Database) -> None:
    await add_topic(database, FAILED, await add_channel(database, "ops"))

    async def failing() -> None:
        async with database.transaction() as transaction:
            await Announcer(Routing(database))(transaction, [news()])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()
    assert await count(database, "message") == 0


class Unreadable(Mapping[str, Any]):
    """Data that cannot be looked at."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(("channel",))

    def __len__(self) -> int:
        return 1


async def test_news_that_cannot_be_planned_keep_nothing_else_from_being_written(
    database: Database,
) -> None:
    topic_id = await add_topic(database, FAILED, await add_channel(database, "ops"))
    async with database.transaction() as transaction:
        condition = {"data": {"channel": {"equals": "shop"}}}
        await transaction.execute(
            "UPDATE topic_channel SET condition = $1 WHERE topic_id = $2",
            *(json.dumps(condition), topic_id),
        )
        await changed(transaction)
    await told(database, Routing(database), news(Unreadable()), news({"channel": "shop"}))
    assert await count(database, "message") == 1
    assert await count(database, "delivery") == 1
