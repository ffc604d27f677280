"""The fleet: an API process that only receives, workers that send, RabbitMQ that rings."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from kombu import Connection
from pydantic import SecretStr

from almenara.check import check_set_up
from almenara.settings import read_settings
from tests.acceptance.test_crash import client_of
from tests.collector import Collector
from tests.plugins.author import Author
from tests.processes import ServerProcess, WorkerProcess
from tests.servers import RABBITMQ
from tests.serving import Client, until

# One after another: they share the lines of one broker.
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.rabbitmq,
    pytest.mark.timeout(120),
    pytest.mark.xdist_group("rabbitmq"),
]

Databases = Callable[..., str]

SECRET_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
#: Nobody listens there.
REFUSED = "amqp://guest:guest@127.0.0.1:9/"


def server_of(directory: Path, url: str, broker_url: str = RABBITMQ.url) -> ServerProcess:
    return ServerProcess(directory, database_url=url, environ={"ALMENARA_BROKER_URL": broker_url})


def traced_server(
    directory: Path, url: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> ServerProcess:
    for name, value in collector.environ.items():
        monkeypatch.setenv(name, value)
    environ = {"ALMENARA_BROKER_URL": RABBITMQ.url, "ALMENARA_TRACES": "on"}
    return ServerProcess(directory, database_url=url, environ=environ)


async def channel(client: Client, plugin: str, **fields: object) -> None:
    created = await client.call(
        "PUT", f"/v1/channels/{plugin.lower()}", {"plugin": plugin, **fields}
    )
    assert created.status == 201, created.text


async def send(
    client: Client,
    channel: str,
    description: str,
    *,
    headers: dict[str, str] | None = None,
    **fields: object,
) -> str:
    body = {"channel": channel, "description": description, **fields}
    answer = await client.post("/v1/messages", body, headers=headers)
    assert answer.status == 202, answer.text
    assert answer.body["deliveries"][0]["status"] == "pending"
    return str(answer.body["id"])


def arrived(author: Author, count: int = 1) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return len(author.traces()) >= count

    return look


async def test_workers_send_what_the_api_accepts_and_go_on_with_its_traces(
    tmp_path: Path, postgres_database: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = Author(tmp_path / "plugins")
    with (
        Collector() as collector,
        traced_server(tmp_path, postgres_database(migrated=True), collector, monkeypatch) as server,
        WorkerProcess(server.environ, "--processes", "2", "--sends", "8"),
    ):
        async with client_of(server) as client:
            await channel(client, "Sink")
            # Written for plain FastAPI: everything it does stands in `background_tasks`.
            await channel(client, "Plain")
            ids = [
                await send(client, name, f"{number}", priority=1 + number % 5)
                for number in range(40)
                for name in ("sink", "plain")
            ]
            stories = [await client.final(one) for one in ids]
            story = await client.final(await send(client, "sink", "x", headers=SENT))
            ready = await client.get("/readyz")
            items = (await client.get("/v1/workers")).body["data"]
    # The processes have ended by now, and handed in their last spans.
    [accept] = [one for one in collector.named("accept") if one.trace == TRACE]
    [attempt] = [one for one in collector.named("attempt") if one.trace == TRACE]
    assert story["traceparent"].startswith(accept.traceparent)
    assert (accept.parent, attempt.parent) == (SPAN, accept.id)
    assert attempt.attributes["almenara.delivery.id"] == story["deliveries"][0]["id"]
    assert sorted(one["kind"] for one in items) == ["server", "worker", "worker"]
    assert {story["status"] for story in stories} == {"sent"}
    assert {len(story["deliveries"][0]["attempts"]) for story in stories} == {1}
    kinds = author.kinds()
    assert (kinds.count("sink"), kinds.count("sync in the background")) == (41, 40)
    assert kinds.count("async in the background with no token") == 40
    assert ready.body["status"] == "ready"


@pytest.mark.unmeasured
async def test_sigterm_lets_what_is_under_way_end(
    tmp_path: Path, postgres_database: Databases
) -> None:
    author = Author(tmp_path / "plugins")
    with server_of(tmp_path, postgres_database(migrated=True)) as server:
        async with client_of(server) as client:
            await channel(client, "Told", timeout_seconds=20)
            with WorkerProcess(server.environ) as worker:
                message = await send(client, "told", "wait for the word")
                await until(arrived(author))
                worker.stop()
                await asyncio.sleep(1)
                author.allow("the word")
                code = await asyncio.to_thread(worker.wait)
        # Anew: the server hangs up on a connection that was silent for as long as that took.
        async with client_of(server) as client:
            story = await client.final(message)
            [counted] = (await client.get("/v1/stats")).body["attempts"]
    # What a worker counted, the server shows.
    assert (counted["channel"], counted["outcome"], sum(counted["counts"])) == ("told", "sent", 1)
    assert code == 0, worker.output
    assert [one["outcome"] for one in story["deliveries"][0]["attempts"]] == ["sent"]
    assert len(author.traces()) == 1


@pytest.mark.unmeasured
async def test_a_second_sigterm_ends_a_worker_at_once(
    tmp_path: Path, postgres_database: Databases
) -> None:
    author = Author(tmp_path / "plugins")
    with server_of(tmp_path, postgres_database(migrated=True)) as server:
        async with client_of(server) as client:
            await channel(client, "Told", timeout_seconds=20)
            with WorkerProcess(server.environ) as worker:
                await send(client, "told", "wait for the word")
                await until(arrived(author))
                children = worker.children
                worker.stop()

                async def drains() -> bool:
                    return '"event": "draining"' in worker.output

                await until(drains)
                worker.stop()
                code = await asyncio.to_thread(worker.wait)
    assert code == 1, worker.output

    async def gone() -> bool:
        # Killed, if perhaps not yet buried by whoever inherited it.
        files = [Path(f"/proc/{one}/cmdline") for one in children]
        return not any(file.exists() and file.read_bytes() for file in files)

    await until(gone)


@pytest.mark.unmeasured
async def test_what_a_killed_process_of_the_pool_had_is_sent_by_another(
    tmp_path: Path, postgres_database: Databases
) -> None:
    author = Author(tmp_path / "plugins")
    with (
        server_of(tmp_path, postgres_database(migrated=True)) as server,
        WorkerProcess(server.environ) as worker,
    ):
        async with client_of(server) as client:
            await channel(client, "Told", timeout_seconds=5)
            message = await send(client, "told", "wait for the word")
            await until(arrived(author))
            [child] = worker.children
            os.kill(child, signal.SIGKILL)
            author.allow("the word")
            story = await client.final(message, seconds=60)
            again = await send(client, "told", "quick")
            assert (await client.final(again))["status"] == "sent"
    outcomes = [one["outcome"] for one in story["deliveries"][0]["attempts"]]
    assert outcomes == ["unknown", "sent"]


@pytest.mark.unmeasured
async def test_a_broker_that_is_away_holds_nothing_up(
    tmp_path: Path, postgres_database: Databases
) -> None:
    author = Author(tmp_path / "plugins")
    with (
        server_of(tmp_path, postgres_database(migrated=True), REFUSED) as server,
        WorkerProcess(server.environ),
    ):
        async with client_of(server) as client:
            await channel(client, "Sink")
            ids = [await send(client, "sink", f"{number}") for number in range(10)]
            assert {(await client.final(one))["status"] for one in ids} == {"sent"}

            async def degraded() -> bool:
                answer = await client.get("/readyz")
                return bool(answer.status == 200 and answer.body["status"] == "degraded")

            await until(degraded)
            trouble = (await client.get("/readyz")).body["checks"]["queue"]
    assert trouble.startswith("RabbitMQ at 127.0.0.1:9 cannot be reached (ConnectionRefusedError)")
    assert "broker_unavailable" in server.output
    assert len(author.traces()) == 10
    assert "guest:guest" not in server.output


@pytest.mark.unmeasured
async def test_lines_that_were_deleted_are_made_again(
    tmp_path: Path, postgres_database: Databases
) -> None:
    author = Author(tmp_path / "plugins")
    with (
        server_of(tmp_path, postgres_database(migrated=True)) as server,
        WorkerProcess(server.environ),
    ):
        async with client_of(server) as client:
            await channel(client, "Sink")
            await client.final(await send(client, "sink", "before"))
            with Connection(RABBITMQ.url) as connection:
                for line in ("almenara.high", "almenara.normal"):
                    connection.default_channel.queue_delete(line)
            await client.final(await send(client, "sink", "at once"))

            async def made() -> bool:
                with Connection(RABBITMQ.url) as connection:
                    try:
                        for line in ("almenara.high", "almenara.normal"):
                            connection.default_channel.queue_declare(line, passive=True)
                    except connection.channel_errors:
                        return False
                return True

            await until(made, 30)
    assert [one["description"] for one in author.traces()] == ["before", "at once"]


def ends(arguments: list[str], environ: dict[str, str]) -> tuple[int, str]:
    finished = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return finished.returncode, finished.stderr


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--pool", "threads"], "--pool"),
        (["--prefetch-multiplier", "4"], "--prefetch-multiplier"),
        (["--queues", "celery"], "--queues"),
    ],
)
def test_celerys_own_command_is_refused_what_loses_deliveries(
    tmp_path: Path, postgres_database: Databases, options: list[str], named: str
) -> None:
    environ = server_of(tmp_path, postgres_database(migrated=True)).environ
    code, said = ends(["celery", "-A", "almenara.worker", "worker", *options], environ)
    assert code == 78, said
    assert f"loses or repeats deliveries: {named}." in said


def test_a_worker_refuses_an_empty_database(tmp_path: Path, postgres_database: Databases) -> None:
    code, said = ends(["almenara", "worker"], server_of(tmp_path, postgres_database()).environ)
    assert code == 78
    assert said.startswith("The database is empty")


@pytest.mark.parametrize("command", [["almenara", "worker"], ["celery", "-A", "almenara.worker"]])
def test_a_worker_without_a_broker_is_told_what_to_do(tmp_path: Path, command: list[str]) -> None:
    environ = ServerProcess(tmp_path, database_url="postgres://nobody@127.0.0.1:9/none").environ
    arguments = command if "almenara" in command else [*command, "worker"]
    code, said = ends(arguments, environ)
    assert code == 78, said
    assert "ALMENARA_BROKER_URL is not set" in said
    assert "Traceback" not in said


async def test_check_finds_a_broker_that_is_away(
    tmp_path: Path, postgres_database: Databases
) -> None:
    url = postgres_database(migrated=True)
    there = read_settings({}, database_url=url, broker_url=RABBITMQ.url, secret_key=SECRET_KEY)
    away = there.model_copy(update={"broker_url": SecretStr(REFUSED)})
    levels = []
    for settings in (there, away):
        [finding] = [one for one in await check_set_up(settings) if one.subject == "broker"]
        levels.append(finding.level)
    assert levels == ["ok", "error"]
    assert finding.message.startswith("RabbitMQ at 127.0.0.1:9 cannot be reached")
