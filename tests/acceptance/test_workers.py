"""`almenara serve --workers N`: several processes on one port, kept alive and ended together."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.test_crash import begin, client_of
from tests.plugins.author import Author
from tests.processes import ServerProcess
from tests.serving import until
from tests.told import listening

# One after another: each fills the machine with processes of its own.
pytestmark = [pytest.mark.postgres, pytest.mark.timeout(90), pytest.mark.xdist_group("processes")]

Databases = Callable[..., str]


def of_two(directory: Path, url: str) -> ServerProcess:
    return ServerProcess(directory, database_url=url, arguments=("--workers", "2"))


def said(server: ServerProcess, event: str) -> list[dict[str, Any]]:
    """Return the log lines of an event."""
    lines = [json.loads(line) for line in server.output.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def pids(server: ServerProcess) -> list[int]:
    """Return the processes that the parent started, in their order."""
    return [int(line["worker"]) for line in said(server, "worker_started")]


def has_said(server: ServerProcess, event: str, count: int = 1) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return len(said(server, event)) >= count

    return look


def lives(pid: int) -> bool:
    """Tell whether a process runs; one that has ended, and that nobody asked, does not."""
    try:
        return " Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    except FileNotFoundError:
        return False


def have_ended(processes: list[int]) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return not any(lives(pid) for pid in processes)

    return look


async def answering(server: ServerProcess) -> str:
    """Return which process answers on a connection of its own."""
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/readyz") as answer:
        assert answer.status == 200
        return str((await answer.json())["process"])


def answer_all(server: ServerProcess, processes: set[int]) -> Callable[[], Awaitable[bool]]:
    """Look whether each of these processes answers on the one port."""
    seen: set[int] = set()

    async def look() -> bool:
        found = await asyncio.gather(*(answering(server) for _ in range(8)))
        seen.update(int(one.partition("@")[0]) for one in found)
        return seen >= processes

    return look


async def test_several_processes_share_one_port_and_one_that_dies_is_started_again(
    tmp_path: Path, postgres_database: Databases
) -> None:
    with of_two(tmp_path, postgres_database()) as server:
        await until(answer_all(server, set(pids(server))), 30)
        first, second = pids(server)
        os.kill(first, signal.SIGKILL)
        await until(has_said(server, "worker_started", 3), 30)
        [died] = said(server, "worker_died")
        assert (died["worker"], died["ended_by"]) == (first, "signal SIGKILL")
        await until(answer_all(server, {second, pids(server)[2]}), 30)
        async with client_of(server) as client, AsyncExitStack() as stack:
            # Of so many, each process has some.
            told = [await stack.enter_async_context(listening(server.url)) for _ in range(8)]
            accepted = await client.post("/v1/messages", {"topic": "hello", "description": "x"})
            assert (await client.final(accepted.body["id"]))["status"] == "sent"
            for each in told:
                await each.until(lambda one: one["status"] == "sent")
            items = (await client.get("/v1/workers")).body["items"]
            assert {second, pids(server)[2]} <= {one["pid"] for one in items if one["alive"]}
            server.send_signal(signal.SIGTERM)
            # Nobody waits for those who listen, and they know why it ends.
            assert {(await each.to_the_end())[-1] for each in told} == {"end"}
        assert await asyncio.to_thread(server.wait) == 0
        assert await have_ended(pids(server))()
    wrote = {line["process"].partition("@")[0] for line in said(server, "ready")}
    # What was killed may have taken its last line with it.
    assert {str(pid) for pid in pids(server)} - {str(first)} == wrote - {str(first)}


@pytest.mark.unmeasured
async def test_sigterm_lets_every_process_drain(
    tmp_path: Path, postgres_database: Databases
) -> None:
    author = Author(tmp_path / "plugins")
    with of_two(tmp_path, postgres_database()) as server:
        async with client_of(server) as client:
            message = await begin(client, "wait for the word")
            await until(_seen(author))
            server.send_signal(signal.SIGTERM)
            await until(_refuses(server))
        author.allow("the word")
        assert await asyncio.to_thread(server.wait) == 0
    assert [line["outcome"] for line in said(server, "attempt_made")] == ["sent"]
    assert said(server, "attempt_made")[0]["message_id"] == message["id"]


@pytest.mark.unmeasured
async def test_a_second_sigterm_ends_them_all_at_once(
    tmp_path: Path, postgres_database: Databases
) -> None:
    author = Author(tmp_path / "plugins")
    with of_two(tmp_path, postgres_database()) as server:
        async with client_of(server) as client:
            await begin(client, "wait for the word")
            await until(_seen(author))
        server.send_signal(signal.SIGTERM)
        await until(has_said(server, "draining"))
        server.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait) == 1
        await until(have_ended(pids(server)))


@pytest.mark.unmeasured
async def test_processes_whose_parent_is_killed_end_by_themselves(
    tmp_path: Path, postgres_database: Databases
) -> None:
    with of_two(tmp_path, postgres_database()) as server:
        await until(answer_all(server, set(pids(server))), 30)
        server.send_signal(signal.SIGKILL)
        await until(have_ended(pids(server)), 30)
        await until(_refuses(server))


async def test_one_that_cannot_start_is_tried_again_until_sigterm(
    tmp_path: Path, postgres_database: Databases
) -> None:
    # The parent loads no plugins; each of its processes does, and ends of it.
    directory = tmp_path / "plugins" / "fatal"
    directory.mkdir(parents=True)
    (directory / "fatal.py").write_text("import os\n\nos._exit(7)\n")
    with of_two(tmp_path, postgres_database()) as server:
        await until(has_said(server, "worker_died", 4), 40)
        server.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait) in {0, 1}
    assert {line["ended_by"] for line in said(server, "worker_died")} == {"exit code 7"}
    waits = [line["restart_in_seconds"] for line in said(server, "worker_died")]
    assert max(waits) > min(waits)


def test_on_sqlite_several_processes_are_refused(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, arguments=("--workers", "2")).start()
    assert server.wait() == 78
    assert "SQLite is served by one process" in server.output
    assert "use PostgreSQL (ALMENARA_DATABASE_URL)" in server.output
    assert "Traceback" not in server.output


def test_a_database_that_cannot_be_reached_is_one_sentence_and_starts_nothing(
    tmp_path: Path,
) -> None:
    server = of_two(tmp_path, "postgres://u:canary@127.0.0.1:9/x").start()
    assert server.wait() == 78
    assert server.output.count("cannot be reached") == 1
    assert "worker_started" not in server.output
    assert "canary" not in server.output


def _seen(author: Author) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return bool(author.traces())

    return look


def _refuses(server: ServerProcess) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        try:
            await answering(server)
        except (aiohttp.ClientError, AssertionError):
            return True
        return False

    return look
