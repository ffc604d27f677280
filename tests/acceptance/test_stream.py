"""The stream of messages, from outside: who is told what, and how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from almenara.api import streaming
from almenara.settings import Settings
from almenara.stream import Listener
from tests.acceptance.test_problems import without_table
from tests.serving import Client, make_settings, served, until
from tests.tokens import ISSUER, SECRET, bearer, token
from tests.told import listening


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is long for a test."""
    monkeypatch.setattr("almenara.stream.stream.LOOK_SECONDS", 0.05)


async def send(client: Client, topic: str = "hello", **fields: object) -> str:
    answer = await client.post("/v1/messages", {"topic": topic, "description": "x"} | fields)
    assert answer.status == 202, answer.text
    return str(answer.body["id"])


async def nobody_listens(client: Client) -> bool:
    return client.parts.stream.listener_count == 0


async def test_a_message_is_told_as_lists_have_it_until_it_is_sent(client: Client) -> None:
    before = await send(client)
    await client.final(before)
    async with listening(client.url) as told:
        assert told.answer.headers["Content-Type"].startswith("text/event-stream")
        assert told.answer.headers["Cache-Control"] == "no-store"
        ids = [await send(client, description=f"line\n{number}") for number in range(3)]
        for message_id in ids:
            await client.final(message_id)
        found = []
        while {one["id"] for one in found if one["status"] == "sent"} != set(ids):
            found += await told.until(lambda one: one["status"] == "sent")
    # What had come to its end before is no news.
    assert before not in {one["id"] for one in found}
    listed = {one["id"]: one for one in (await client.get("/v1/messages")).body["data"]}
    last = {one["id"]: one for one in found}
    assert last == {message_id: listed[message_id] for message_id in ids}
    assert told.ids == sorted(set(told.ids))

    async def nobody_looks() -> bool:
        return client.parts.stream._task is None

    await until(nobody_looks)


async def test_what_moves_without_an_attempt_is_told_too(client: Client) -> None:
    waits = {"send_at": (datetime.now(UTC) + timedelta(days=9)).isoformat()}
    old = await send(client, **waits)
    gone = await send(client, collapse_key="k", **waits)
    async with listening(client.url) as told:
        await client.post(f"/v1/messages/{old}/cancel")
        [*_, last] = await told.until(lambda one: one["id"] == old)
        assert last["status"] == "cancelled"
        await send(client, collapse_key="k", **waits)
        await told.until(lambda one: one["id"] == gone and one["status"] == "cancelled")
        await client.post(f"/v1/messages/{old}/resend")
        await told.until(lambda one: one["id"] == old and one["status"] == "sent")


async def test_a_listener_is_told_what_it_asks_for(client: Client) -> None:
    for name in ("one", "two"):
        await client.call("PUT", f"/v1/channels/{name}", {"plugin": "Log"})
        await client.call("PUT", f"/v1/topics/{name}", {"channel": name})
    async with (
        listening(client.url, "/v1/stream?topic=ONE") as by_topic,
        listening(client.url, "/v1/stream?channel=One") as by_channel,
    ):
        wanted = {await send(client, "one")}
        await send(client, "two")
        [first] = await by_topic.until(lambda _: True)
        assert first["id"] in wanted
        body = {"channel": "one", "description": "without a topic"}
        wanted.add((await client.post("/v1/messages", body)).body["id"])
        seen: set[str] = set()
        while seen != wanted:
            seen |= {one["id"] for one in await by_channel.until(lambda _: True)}
        last = await send(client, "one")
        [*between, _] = await by_topic.until(lambda one: one["id"] == last)
        assert {one["topic"] for one in between} <= {"one"}


async def test_a_narrowed_token_is_told_of_its_topics_alone(tmp_path: Path) -> None:
    async with served(make_settings(tmp_path, jwt_issuer=ISSUER, jwt_secret=SECRET)) as client:
        everything = {"headers": bearer(token())}
        for name in ("sales.eu", "other"):
            await client.call("PUT", f"/v1/topics/{name}", {"channel": "log"}, **everything)
        narrow = bearer(token(scope="messages:read", topics=["sales.*"]))
        assert (await client.get("/v1/stream")).status == 401
        async with listening(client.url, headers=narrow) as told:
            for body in ({"topic": "other"}, {"channel": "log"}, {"topic": "sales.eu"}):
                answer = await client.post(
                    "/v1/messages", {"description": "x"} | body, **everything
                )
                assert answer.status == 202
            for one in await told.until(lambda one: one["status"] == "sent"):
                assert one["topic"] == "sales.eu"


async def test_there_are_only_so_many_streams(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("almenara.stream.stream.MOST_LISTENERS", 2)
    async with listening(client.url), listening(client.url):
        answer = await client.get("/v1/stream")
        assert (answer.status, answer.body["code"]) == (503, "unavailable")
        assert answer.body["detail"].startswith("2 streams are open")
        assert "Retry-After" in answer.headers
    await until(lambda: nobody_listens(client))
    # Whoever has gone makes room.
    async with listening(client.url):
        assert client.parts.stream.listener_count == 1


async def test_when_the_server_stops_listeners_are_told_and_let_go(client: Client) -> None:
    async with listening(client.url) as told:
        client.parts.stream.end()
        assert await told.next() == ("end", {})
        assert await told.next() is None
    answer = await client.get("/v1/stream")
    assert (answer.status, answer.body["code"]) == (503, "unavailable")


async def test_who_came_with_a_token_shows_it_again_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "LONGEST_SECONDS", 0.5)
    monkeypatch.setattr(streaming, "HEARTBEAT_SECONDS", 0.1)
    async with served(make_settings(tmp_path, jwt_issuer=ISSUER, jwt_secret=SECRET)) as client:
        async with listening(client.url, headers=bearer(token())) as told:
            assert await told.to_the_end() == ["end"]
        assert told.comments > 0
        await until(lambda: nobody_listens(client))


async def test_where_the_database_does_not_answer_nobody_listens(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("almenara.stream.stream._BEGIN_SECONDS", 0.5)
    async with without_table(client, "attempt"):
        answer = await client.get("/v1/stream")
    assert (answer.status, answer.body["code"]) == (503, "unavailable")
    assert client.parts.stream.listener_count == 0


#: More than a connection takes at once, and less than may wait for a listener.
MUCH = b": " + b"x" * 6_000_000 + b"\n\n"


@asynccontextmanager
async def silent_listener(client: Client) -> AsyncIterator[Listener]:
    """Listen without reading anything."""
    address = urlsplit(client.url)
    with socket.create_connection((address.hostname, address.port)) as silent:
        silent.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

        async def listens() -> list[Listener]:
            return list(client.parts.stream._wants)

        [listener] = await until(listens)
        yield listener


async def test_a_listener_that_does_not_read_is_cut_off(client: Client) -> None:
    async with silent_listener(client) as listener:

        async def is_cut_off() -> bool:
            listener.tell(MUCH)
            await asyncio.sleep(0)
            return await nobody_listens(client)

        await until(is_cut_off)
    async with listening(client.url) as told:
        message_id = await send(client)
        await told.until(lambda one: one["id"] == message_id)


async def test_who_does_not_take_the_end_is_hung_up_on(client: Client) -> None:
    async with silent_listener(client) as listener:
        listener.tell(MUCH)

        async def is_stuck() -> bool:
            return not listener._waiting

        await until(is_stuck)
        listener.tell(b": x\n\n")
        client.parts.stream.end()
        await until(lambda: nobody_listens(client))


async def test_a_database_that_was_away_is_caught_up_with(settings: Settings) -> None:
    async with served(settings) as client, listening(client.url) as told:
        writer = client.parts.database.writer
        await writer.execute_query("ALTER TABLE audit RENAME TO gone")
        message_id = await send(client)
        await client.final(message_id)
        await writer.execute_query("ALTER TABLE gone RENAME TO audit")
        await told.until(lambda one: one["id"] == message_id and one["status"] == "sent")
