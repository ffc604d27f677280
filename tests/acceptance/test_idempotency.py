"""Idempotency keys: the same key and message are stored once, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from almenara import accept
from almenara.settings import Settings
from tests.acceptance.test_trouble import locked
from tests.plugins.author import Author
from tests.serving import Answer, Client, make_settings, served

MESSAGE = {"topic": "hello", "description": "It works"}


async def send(client: Client, key: str, **changes: Any) -> Answer:
    return await client.post("/v1/messages", MESSAGE | changes, headers={"Idempotency-Key": key})


async def stored_count(client: Client) -> int:
    return len((await client.get("/v1/messages?limit=250")).body["data"])


async def test_a_repetition_is_answered_by_the_first_message(client: Client) -> None:
    first = await send(client, "order 17")
    assert (first.status, first.body["duplicate"]) == (202, False)
    assert "Idempotency-Replayed" not in first.headers
    await client.final(first.body["id"])
    again = await send(client, "order 17")
    assert (again.status, again.body["duplicate"]) == (202, True)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert again.body == first.body | {
        "duplicate": True,
        "status": "sent",
        "deliveries": [first.body["deliveries"][0] | {"status": "sent"}],
    }
    assert await stored_count(client) == 1


async def test_the_case_of_a_topic_makes_no_other_message(client: Client) -> None:
    first = await send(client, "k")
    assert (await send(client, "k", topic=" HELLO")).body["id"] == first.body["id"]


@pytest.mark.parametrize(
    "changes",
    [{"description": "Something else"}, {"priority": 1}, {"data": {"a": 1}}, {"channel": "log"}],
)
async def test_a_key_for_another_message_is_refused(
    client: Client, changes: dict[str, Any]
) -> None:
    await send(client, "k")
    refused = await send(client, "k", **changes)
    assert (refused.status, refused.body["code"]) == (422, "key_reused")
    assert refused.body["errors"][0]["field"] == "Idempotency-Key"
    assert await stored_count(client) == 1


async def test_sixty_four_equal_requests_at_once_are_one_message(
    client: Client, settings: Settings
) -> None:
    answers = await asyncio.gather(*(send(client, "storm") for _ in range(64)))
    assert {one.status for one in answers} == {202}
    assert len({one.body["id"] for one in answers}) == 1
    assert sum(not one.body["duplicate"] for one in answers) == 1
    assert await stored_count(client) == 1


async def test_a_key_outlives_a_restart(settings: Settings) -> None:
    async with served(settings) as client:
        first = await send(client, "k")
    async with served(settings) as client:
        again = await send(client, "k")
    assert (again.body["id"], again.body["duplicate"]) == (first.body["id"], True)


async def test_other_keys_and_no_keys_are_other_messages(client: Client) -> None:
    ids = {(await send(client, key)).body["id"] for key in ("a", "b", "A")}
    ids |= {(await client.post("/v1/messages", MESSAGE)).body["id"] for _ in range(2)}
    assert len(ids) == 5


async def test_a_message_that_was_refused_keeps_no_key(client: Client) -> None:
    assert (await send(client, "k", topic="nope")).status == 422
    assert (await send(client, "k")).body["duplicate"] is False


async def test_the_topic_in_the_path_honours_keys(client: Client) -> None:
    async def post() -> Answer:
        return await client.post(
            "/v1/topics/hello/messages",
            {"description": "It works"},
            headers={"Idempotency-Key": "k"},
        )

    first, again = await post(), await post()
    assert again.body["id"] == first.body["id"]
    assert again.body["duplicate"] is True


async def test_each_message_of_a_batch_has_its_own_key(client: Client) -> None:
    keyed = MESSAGE | {"idempotency_key": "k"}
    batch = {"messages": [keyed, keyed, MESSAGE, keyed | {"description": "other"}]}
    items = (await client.post("/v1/messages/batch", batch)).body["data"]
    assert [one["status"] for one in items] == [202, 202, 202, 422]
    assert items[0]["message"]["id"] == items[1]["message"]["id"]
    assert sorted(one["message"]["duplicate"] for one in items[:3]) == [False, False, True]
    assert items[3]["problem"]["code"] == "key_reused"
    assert await stored_count(client) == 2


@pytest.mark.parametrize("key", ["", "k" * 256, "tab\there", "naïve"])
async def test_a_key_that_is_none_is_refused(client: Client, key: str) -> None:
    refused = await client.post(
        "/v1/messages", MESSAGE, headers={"Idempotency-Key": key.encode().decode("latin-1")}
    )
    assert refused.status == 422
    assert "Idempotency-Key" in refused.body["errors"][0]["field"]
    assert await stored_count(client) == 0


async def test_the_longest_key_is_taken(client: Client) -> None:
    assert (await send(client, "k" * 255)).status == 202


async def test_a_duplicate_takes_no_slot(settings: Settings) -> None:
    author = Author(settings.plugins_dir)
    async with served(settings) as client:
        await client.post("/v1/channels", {"name": "sink", "plugin": "Sink", "concurrency": 1})
        for _ in range(5):
            answer = await send(client, "k", channel="sink")
        await client.final(answer.body["id"])
        fresh = await send(client, "another", channel="sink")
        assert fresh.body["deliveries"][0]["status"] == "sending"
        await client.final(fresh.body["id"])
    assert len(author.traces()) == 2


async def test_a_key_in_flight_is_a_409_after_a_while(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "_KEY_SECONDS", 0.05)
    settings = make_settings(tmp_path)
    async with served(settings) as client:
        async with locked(settings):
            waits = await send(client, "k")
            assert (waits.status, waits.body["code"]) == (409, "in_flight")
            assert int(waits.headers["Retry-After"]) >= 1
        for _ in range(100):
            again = await send(client, "k")
            if again.status == 202:
                break
        assert again.status == 202
        assert await stored_count(client) == 1
    with sqlite3.connect(settings.database_file) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM idempotency_key").fetchall()
    connection.close()
    assert count == 1
