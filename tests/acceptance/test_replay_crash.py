"""Replays and the processes that work them off: killed, several, watched from a terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from almenara.testing import Answer, FakeService
from tests.processes import ServerProcess
from tests.serving import Client, until

MESSAGES = 90

pytestmark = [pytest.mark.timeout(180), pytest.mark.unmeasured]


@asynccontextmanager
async def client_of(server: ServerProcess) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session, server.url)


async def failed(client: Client, receiver: FakeService, number: int) -> set[str]:
    """Hand messages in that all fail, and return the ids of their deliveries."""
    receiver.answer = Answer(404)
    channel = {"plugin": "Webhook", "settings": {"url": receiver.url}}
    assert (await client.call("PUT", "/v1/channels/sink", channel)).status in {200, 201}
    messages = [{"channel": "sink", "description": str(one)} for one in range(number)]
    accepted = await client.post("/v1/messages/batch", {"messages": messages})
    assert [one["status"] for one in accepted.body["data"]] == [202] * number

    async def look() -> Any:
        found = (await client.get("/v1/deliveries?status=failed&limit=250")).body["data"]
        return {one["id"] for one in found} if len(found) == number else None

    ids: set[str] = await until(look, 60)
    receiver.answer = Answer(200)
    receiver.received.clear()
    return ids


async def came_to(client: Client, replay: Any, resent_count: int) -> Any:
    """Wait until a replay has sent so many again."""

    async def look() -> Any:
        one = (await client.get(f"/v1/replays/{replay['id']}")).body
        return one if one["resent_count"] >= resent_count else None

    return await until(look, 60)


async def ended(client: Client, replay: Any) -> Any:
    """Wait until a replay is done and everything that it made was sent."""

    async def look() -> Any:
        one = (await client.get(f"/v1/replays/{replay['id']}")).body
        return one if one["deliveries"]["sent"] >= replay["total_count"] else None

    return await until(look, 90)


async def check_each_was_sent_again_once(
    client: Client, receiver: FakeService, replay: Any, old: set[str]
) -> None:
    """Each old delivery has one new one; what arrived twice was in the hands of a dead process."""
    assert (replay["status"], replay["resent_count"], replay["skipped_count"]) == (
        "done",
        MESSAGES,
        0,
    )
    made = (await client.get(f"/v1/deliveries?replay={replay['id']}&limit=250")).body["data"]
    assert Counter(one["resend_of"] for one in made) == Counter(old)
    arrived = Counter(one.headers["webhook-id"] for one in receiver.received)
    assert set(arrived) == {one["id"] for one in made}
    attempts = {one["id"]: one["attempt_number"] for one in made}
    assert all(number <= attempts[delivery] for delivery, number in arrived.items())


async def test_a_replay_goes_on_after_kill_9_and_sends_each_again_once(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    with FakeService() as receiver:
        await asyncio.to_thread(server.start)
        async with client_of(server) as client:
            old = await failed(client, receiver, MESSAGES)
            replay = (await client.post("/v1/replays", {"channel": "sink", "rate": "10/s"})).body
            await came_to(client, replay, 1)
        server.kill()
        with server:
            async with client_of(server) as client:
                after = (await client.get(f"/v1/replays/{replay['id']}")).body
                assert (after["status"], after["total_count"]) == ("running", MESSAGES)
                await check_each_was_sent_again_once(
                    client, receiver, await ended(client, replay), old
                )


@pytest.mark.postgres
async def test_of_two_processes_one_is_killed_and_the_other_ends_the_replay(
    tmp_path: Path, postgres_database: Any
) -> None:
    url = postgres_database()
    async with AsyncExitStack() as stack:
        receiver = stack.enter_context(FakeService())
        servers = [ServerProcess(tmp_path / name, database_url=url) for name in ("a", "b")]
        for server in servers:
            await asyncio.to_thread(stack.enter_context, server)
        first = await stack.enter_async_context(client_of(servers[0]))
        client = await stack.enter_async_context(client_of(servers[1]))
        old = await failed(client, receiver, MESSAGES)
        replay = (await first.post("/v1/replays", {"channel": "sink", "rate": "30/s"})).body
        await came_to(client, replay, 1)
        servers[0].kill()
        await check_each_was_sent_again_once(client, receiver, await ended(client, replay), old)


def on_a_terminal(server: ServerProcess, *arguments: str, typed: bytes) -> tuple[int, str]:
    """Run a command on a terminal of its own; return its exit code and what was shown."""
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        [sys.executable, "-m", "almenara", *arguments],
        env=server.environ | {"ALMENARA_URL": server.url, "COLUMNS": "200", "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, typed)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:
        pass  # how Linux says that the other end is closed
    os.close(ours)
    return command.wait(30), shown.decode()


async def test_the_command_line_asks_and_shows_a_bar_until_it_is_done(tmp_path: Path) -> None:
    with FakeService() as receiver, ServerProcess(tmp_path) as server:
        async with client_of(server) as client:
            await failed(client, receiver, 12)
            command = ("replay", "--channel", "sink", "--since", "1h", "--rate", "20/s")
            code, shown = await asyncio.to_thread(on_a_terminal, server, *command, typed=b"n\n")
            assert code == 1
            assert "12 deliveries would be sent again." in shown
            assert "Send them again? [y/N]" in shown
            assert (await client.get("/v1/replays")).body["data"] == []
            code, shown = await asyncio.to_thread(on_a_terminal, server, *command, typed=b"y\n")
            assert code == 0, shown
            assert "Sending again" in shown
            assert re.search(r"12/12", shown)
            assert "is done: 12 sent again" in shown
            [replay] = (await client.get("/v1/replays")).body["data"]
            await ended(client, replay)
            code, shown = await asyncio.to_thread(
                on_a_terminal, server, "replays", "show", replay["id"], typed=b""
            )
            assert "12 sent" in shown
    assert len(receiver.received) == 12
