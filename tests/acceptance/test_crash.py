"""A server that is killed, stopped, or started twice; each a process of its own."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from almenara.testing import FakeService
from tests.plugins.author import Author
from tests.processes import ServerProcess
from tests.serving import Client, until

pytestmark = pytest.mark.unmeasured

SENDERS = 8


@asynccontextmanager
async def client_of(server: ServerProcess) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session, server.url)


async def send_until_it_dies(client: Client, name: str, accepted: list[str]) -> None:
    """Hand messages in, one after another; remember an id only once its 202 is read whole."""
    number = 0
    try:
        while True:
            number += 1
            answer = await client.post(
                "/v1/messages", {"channel": "sink", "description": f"{name} {number}"}
            )
            if answer.status == 202:
                accepted.append(answer.body["id"])
    except aiohttp.ClientError:
        return


async def make_sink(client: Client, url: str) -> None:
    created = await client.call(
        "PUT", "/v1/channels/sink", {"plugin": "Webhook", "settings": {"url": url}}
    )
    assert created.status in {200, 201}, created.text


async def check_story(client: Client, message_id: str, arrived: Counter[str]) -> None:
    """What was accepted is sent; whatever arrived twice is shown as unknown in the log."""
    story = await client.final(message_id, seconds=60)
    assert story["status"] == "sent"
    [delivery] = story["deliveries"]
    outcomes = [one["outcome"] for one in delivery["attempts"]]
    assert outcomes[-1] == "sent"
    assert set(outcomes[:-1]) <= {"unknown"}
    assert 1 <= arrived[delivery["id"]] <= len(outcomes)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("database", "kills"),
    [("sqlite", 4), pytest.param("postgres", 1, marks=pytest.mark.postgres)],
)
async def test_kill_9_loses_no_accepted_message(
    tmp_path: Path, request: pytest.FixtureRequest, database: str, kills: int
) -> None:
    url = request.getfixturevalue("postgres_database")() if database == "postgres" else None
    server = ServerProcess(tmp_path, database_url=url)
    accepted: list[str] = []
    chance = random.Random(20261123)
    with FakeService() as receiver:
        for kill in range(kills):
            await asyncio.to_thread(server.start)
            async with client_of(server) as client:
                await make_sink(client, receiver.url)
                senders = [
                    asyncio.create_task(send_until_it_dies(client, f"{kill}.{name}", accepted))
                    for name in range(SENDERS)
                ]
                await asyncio.sleep(chance.uniform(0.3, 0.8))
                server.kill()
                await asyncio.gather(*senders)
        await asyncio.to_thread(server.start)
        async with client_of(server) as client:
            await client.final(accepted[-1], seconds=60)
            for message_id in accepted:
                story = (await client.get(f"/v1/messages/{message_id}")).body
                if story["status"] != "sent":
                    await client.final(message_id, seconds=60)
            arrived = Counter(one.headers["webhook-id"] for one in receiver.received)
            for message_id in accepted:
                await check_story(client, message_id, arrived)
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
    assert len(accepted) > kills * SENDERS


async def begin(client: Client, description: str) -> dict[str, Any]:
    """Accept a message for the plugin that does as it is told, and wait until it is with it."""
    await client.call(
        "PUT", "/v1/channels/told", {"plugin": "Told", "settings": {}, "timeout_seconds": 20}
    )
    accepted = await client.post("/v1/messages", {"channel": "told", "description": description})
    assert accepted.status == 202, accepted.text
    body: dict[str, Any] = accepted.body
    return body


async def test_sigterm_lets_an_attempt_under_way_end(tmp_path: Path) -> None:
    author = Author(tmp_path / "plugins")
    server = ServerProcess(tmp_path)
    await asyncio.to_thread(server.start)
    async with client_of(server) as client:
        message = await begin(client, "wait for the word")
        await until(_seen(author))
        server.send_signal(signal.SIGTERM)
        await until(_refused(client))
    author.allow("the word")
    assert await asyncio.to_thread(server.wait) == 0
    with ServerProcess(tmp_path) as again:
        async with client_of(again) as client:
            story = (await client.get(f"/v1/messages/{message['id']}")).body
    assert story["status"] == "sent"
    assert [one["outcome"] for one in story["deliveries"][0]["attempts"]] == ["sent"]
    assert len(author.traces()) == 1


async def test_what_outlasts_the_grace_is_unknown_and_tried_again(tmp_path: Path) -> None:
    author = Author(tmp_path / "plugins")
    server = ServerProcess(tmp_path, environ={"ALMENARA_DRAIN_SECONDS": "0.2"})
    await asyncio.to_thread(server.start)
    async with client_of(server) as client:
        message = await begin(client, "wait for the word")
        await until(_seen(author))
    server.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.wait) == 0
    author.allow("the word")
    with ServerProcess(tmp_path) as again:
        async with client_of(again) as client:
            story = await client.final(message["id"])
    outcomes = [one["outcome"] for one in story["deliveries"][0]["attempts"]]
    assert outcomes == ["unknown", "sent"]


async def test_a_second_sigterm_ends_it_at_once(tmp_path: Path) -> None:
    author = Author(tmp_path / "plugins")
    server = ServerProcess(tmp_path)
    await asyncio.to_thread(server.start)
    async with client_of(server) as client:
        message = await begin(client, "wait for the word")
        await until(_seen(author))
        server.send_signal(signal.SIGTERM)
        await until(_refused(client))
    server.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.wait) == 1
    author.allow("the word")
    with ServerProcess(tmp_path) as again:
        async with client_of(again) as client:
            story = await client.final(message["id"])
    outcomes = [one["outcome"] for one in story["deliveries"][0]["attempts"]]
    assert outcomes == ["unknown", "sent"]


async def test_what_kills_three_processes_is_held(tmp_path: Path) -> None:
    directory = tmp_path / "plugins" / "poison"
    directory.mkdir(parents=True)
    (directory / "poison.py").write_text(
        "import os\n\n"
        "class Poison:\n"
        "    def send_message(self, message, background_tasks):\n"
        "        os._exit(9)\n"
    )
    server = ServerProcess(tmp_path)
    await asyncio.to_thread(server.start)
    async with client_of(server) as client:
        await client.post("/v1/channels", {"name": "poison", "plugin": "Poison"})
        accepted = await client.post(
            "/v1/messages", {"channel": "poison", "description": "the end"}
        )
    for _ in range(2):
        assert await asyncio.to_thread(server.wait) == 9
        await asyncio.to_thread(server.start)
    assert await asyncio.to_thread(server.wait) == 9
    with ServerProcess(tmp_path) as last:
        async with client_of(last) as client:
            story = await client.final(accepted.body["id"])
    [delivery] = story["deliveries"]
    assert (delivery["status"], delivery["reason"]) == ("held", "poison")
    assert [one["outcome"] for one in delivery["attempts"]] == ["unknown"] * 3


def test_a_second_server_on_the_same_database_refuses_and_names_the_first(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as first:
        second = ServerProcess(tmp_path).start()
        assert second.wait() == 78
        assert "Another process serves this SQLite database" in second.output
        assert f"process {first.pid} on" in second.output


@pytest.mark.parametrize(
    ("environ", "arguments", "sentence"),
    [
        ({}, ("--host", "0.0.0.0"), "add --insecure"),
        ({"ALMENARA_SENDS": "0", "ALMENARA_NOPE": "1"}, (), "ALMENARA_NOPE: there is no such"),
        ({"ALMENARA_DATABASE_URL": "mysql://x"}, (), "MySQL and MariaDB cannot be used"),
        (
            {"ALMENARA_DATABASE_URL": "postgres://u:canary@127.0.0.1:9/x"},
            (),
            "The PostgreSQL database 127.0.0.1:9/x cannot be reached",
        ),
        ({"ALMENARA_SECRET_KEY": "short"}, (), "32 bytes in base64"),
    ],
)
def test_a_wrong_set_up_is_one_clear_sentence(
    tmp_path: Path, environ: dict[str, str], arguments: tuple[str, ...], sentence: str
) -> None:
    server = ServerProcess(tmp_path, environ=environ, arguments=arguments).start()
    assert server.wait() == 78
    assert sentence in server.output
    assert "Traceback" not in server.output
    assert "canary" not in server.output


def test_a_port_that_is_taken_is_one_clear_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        server = ServerProcess(tmp_path, arguments=("--port", port)).start()
        assert server.wait() == 78
    assert f"127.0.0.1:{port} cannot be served: Address already in use" in server.output
    assert "Traceback" not in server.output


def _seen(author: Author) -> Callable[[], Any]:
    async def look() -> bool:
        return bool(author.traces())

    return look


def _refused(client: Client) -> Callable[[], Any]:
    """Look whether the server listens no more."""

    async def look() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{client.url}/healthz"):
                return False
        except aiohttp.ClientError:
            return True

    return look
