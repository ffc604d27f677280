"""`/metrics` of several processes: added up, and never backwards, whichever dies and answers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from almenara.errors import ConfigurationError
from almenara.window import Window
from tests.acceptance.test_crash import client_of
from tests.acceptance.test_workers import answer_all, has_said, pids
from tests.plugins.author import Author
from tests.processes import ServerProcess, WorkerProcess
from tests.scraped import Scrape, assert_grown, outcomes, scrape
from tests.servers import RABBITMQ
from tests.serving import Client, make_settings, until
from tests.tokens import ISSUER, SECRET, bearer, token

pytestmark = [pytest.mark.timeout(120), pytest.mark.unmeasured]

Databases = Callable[..., str]

_COUNT = 30


@asynccontextmanager
async def client_at(url: str) -> AsyncIterator[Client]:
    """A client whose every request is a connection of its own, so that any process may answer."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Client(session, url)


async def send(client: Client, count: int = _COUNT, channel: str = "sink") -> None:
    bodies = [{"channel": channel, "description": f"{number}"} for number in range(count)]
    answers = await asyncio.gather(*(client.post("/v1/messages", one) for one in bodies))
    assert {one.status for one in answers} == {202}


async def sent(client: Client, count: int) -> Scrape:
    """Wait until so many were sent, and return the scrape that says so."""

    async def look() -> Scrape | None:
        one = await scrape(client)
        return one if outcomes(one, "sink") == {"sent": count} else None

    found: Scrape = await until(look)
    return found


async def watched(client: Client, last: Scrape, done: Callable[[], bool]) -> Scrape:
    """Scrape again and again until something is done; nothing may go backwards."""
    while True:
        ended = done()
        try:
            found = await scrape(client)
        except aiohttp.ClientError:
            # Whoever is killed takes the connection along that it has just accepted.
            continue
        assert_grown(last, found)
        last = found
        if ended:
            return last
        await asyncio.sleep(0.05)


@pytest.mark.postgres
@pytest.mark.xdist_group("processes")
async def test_server_processes_add_up_and_one_that_dies_takes_nothing_back(
    tmp_path: Path, postgres_database: Databases
) -> None:
    Author(tmp_path / "plugins")
    url = postgres_database(migrated=True)
    with ServerProcess(tmp_path, database_url=url, arguments=("--workers", "2")) as server:
        await until(answer_all(server, set(pids(server))), 30)
        async with client_at(server.url) as client:
            await client.call("PUT", "/v1/channels/sink", {"plugin": "Sink"})
            await send(client)
            before = await sent(client, _COUNT)
            assert before("almenara_messages_accepted_total") == _COUNT
            assert before("almenara_send_slots") == 128
            both = before.of("process_start_time_seconds", "process")
            assert both.keys() == {"0", "1"}
            answered = {(await client.get("/readyz")).body["process"] for _ in range(20)}
            for killed in pids(server)[:2]:
                os.kill(killed, signal.SIGKILL)
            after = await watched_through(client, server, before)
            await send(client, 10)
            last = await sent(client, _COUNT + 10)
        files = list_of_figures(server)
        server.stop()
        assert await asyncio.to_thread(server.wait) == 0
    assert len(answered) == 2
    assert_grown(after, last)
    assert last("almenara_messages_accepted_total") == _COUNT + 10
    assert len(files) == 2
    assert not files[0].parent.exists()


async def watched_through(client: Client, server: ServerProcess, before: Scrape) -> Scrape:
    """Return a scrape after the processes that were killed are there anew."""
    await until(has_said(server, "worker_started", 4), 30)
    await until(answer_all(server, set(pids(server)[2:])), 30)
    after = await scrape(client)
    assert_grown(before, after)
    return after


def list_of_figures(server: ServerProcess) -> list[Path]:
    """Return the files in which the processes leave their figures, as their commands name them."""
    commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in pids(server)[-2:]]
    return [Path(one.split("\0")[one.split("\0").index("--figures") + 1]) for one in commands]


@pytest.mark.postgres
@pytest.mark.rabbitmq
@pytest.mark.xdist_group("rabbitmq")
async def test_a_workers_processes_are_told_on_its_own_port(
    tmp_path: Path, postgres_database: Databases
) -> None:
    Author(tmp_path / "plugins")
    environ = {"ALMENARA_BROKER_URL": RABBITMQ.url}
    url = postgres_database(migrated=True)
    with (
        ServerProcess(tmp_path, database_url=url, environ=environ) as server,
        WorkerProcess(server.environ, "--processes", "2", "--metrics-port", "0") as worker,
    ):
        [port] = set(re.findall(r'"url": "(http://[^"]+)/metrics"', worker.output))
        async with client_of(server) as api, client_at(port) as window:
            await api.call("PUT", "/v1/channels/sink", {"plugin": "Sink"})
            await send(api)
            before = await sent(window, _COUNT)
            received = await scrape(api)
            first, second = worker.children
            os.kill(first, signal.SIGKILL)
            after = await watched(window, before, lambda: anew(worker, {first, second}))
            await send(api, 10)
            last = await sent(window, _COUNT + 10)
            assert (await window.get("/v1/messages")).status == 404
    # The server only received; what stands in the database is the servers' to tell.
    assert received("almenara_messages_accepted_total") == _COUNT
    assert outcomes(received, "sink") == {}
    assert before("almenara_messages_accepted_total") == 0
    assert "almenara_deliveries_pending" not in before.kinds
    assert_grown(after, last)


def anew(worker: WorkerProcess, before: set[int]) -> bool:
    """Tell whether a new process has taken the place of a dead one."""
    now = set(worker.children)
    return len(now) == 2 and now != before


async def test_a_workers_port_asks_for_the_same_token(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, metrics_port=0, jwt_issuer=ISSUER, jwt_secret=SECRET)
    window = Window(settings)
    async with window.shown(), client_at(window.url) as client:
        assert (await client.get("/metrics")).status == 401
        other = bearer(token(scope="messages:read"))
        assert (await client.get("/metrics", headers=other)).status == 403
        good = bearer(token(scope="admin:read"))
        Scrape(await client.get("/metrics", headers=good))


async def test_a_workers_port_that_others_reach_needs_tokens(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, metrics_port=0, host="0.0.0.0")
    with pytest.raises(ConfigurationError, match=r"metrics are not served on 0\.0\.0\.0"):
        Window(settings)


async def test_a_workers_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    window = Window(make_settings(tmp_path, metrics_port=0))
    async with window.shown():
        port = window.url.rpartition(":")[2]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}: .*in use"):
            Window(make_settings(tmp_path, metrics_port=port))


def test_what_writes_the_text_is_not_loaded_before_it_is_asked_for() -> None:
    program = (
        "import sys, almenara.app, almenara.sending; print('prometheus_client' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "False\n"
