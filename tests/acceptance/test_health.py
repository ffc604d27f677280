"""Health: alive, and ready or not, with what is not; over both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from almenara.database import postgres
from almenara.telemetry import process_name
from tests.serving import Client, make_settings, served, until

READY = {"database": "ok", "ledger": "ok", "queue": "ok"}


class Wire:
    """A wire to a server, which can be cut and mended."""

    def __init__(self, url: str) -> None:
        self._far = urlsplit(url)
        self._carrying: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None
        self._talks = asyncio.Event()
        self._talks.set()
        self._port = 0

    async def mend(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break every connection, and let no new one through."""
        self._talks.set()
        if self._server is not None:
            self._server.close()
        # Also those that have come in and are not through to the other end yet.
        carrying = list(self._carrying)
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying)

    async def close(self) -> None:
        """Break every connection, those too that have come in just now, before the loop ends."""
        await self.cut()
        for _ in range(20):
            # One that was taken from the socket begins after some turns of the loop.
            await asyncio.sleep(0)
        await self.cut()

    def hush(self) -> None:
        """Let nothing through any more, and tell nobody: as where packets are dropped."""
        self._talks.clear()

    @property
    def url(self) -> str:
        """The server's URL at this end of the wire."""
        user = self._far.netloc.rpartition("@")[0]
        near = f"{user}@127.0.0.1:{self._port}" if user else f"127.0.0.1:{self._port}"
        return urlunsplit(self._far._replace(netloc=near))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        ends = [writer]
        try:
            far_reader, far_writer = await asyncio.open_connection(
                self._far.hostname, self._far.port or 5432
            )
            ends.append(far_writer)
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        except asyncio.CancelledError:
            pass  # it was cut; asyncio's own servers complain of a handler that is cancelled
        finally:
            for one in ends:
                one.transport.abort()
            self._carrying.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._talks.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def wired(url: str) -> AsyncIterator[Wire]:
    wire = Wire(url)
    await wire.mend()
    try:
        yield wire
    finally:
        await wire.close()


async def test_a_server_that_serves_is_alive_and_ready(client: Client) -> None:
    alive = await client.get("/healthz")
    assert (alive.status, alive.body) == (200, {"status": "ok"})
    ready = await client.get("/readyz")
    assert ready.status == 200
    assert ready.body == {"status": "ready", "checks": READY, "process": process_name()}


async def test_without_its_ledger_a_server_is_alive_but_not_ready(client: Client) -> None:
    await client.parts.ledger.close()
    assert (await client.get("/healthz")).status == 200
    answer = await client.get("/readyz")
    assert (answer.status, answer.body["status"]) == (503, "not ready")
    assert answer.body["checks"]["ledger"] != "ok"
    assert answer.body["checks"]["database"] == "ok"


async def test_without_its_queue_a_server_is_alive_but_not_ready(client: Client) -> None:
    await client.parts.queue.drain(0)
    answer = await client.get("/readyz")
    assert (answer.status, answer.body["status"]) == (503, "not ready")
    assert answer.body["checks"] | {"queue": "ok"} == READY
    assert answer.body["checks"]["queue"] != "ok"


@pytest.mark.postgres
async def test_while_the_database_is_away_a_server_is_not_ready_and_afterwards_it_is(
    tmp_path: Path, postgres_database: Callable[..., str]
) -> None:
    async with (
        wired(postgres_database()) as wire,
        served(make_settings(tmp_path, wire.url)) as client,
    ):
        message = {"topic": "hello", "description": "x"}
        assert (await client.post("/v1/messages", message)).status == 202
        await wire.cut()
        assert (await client.get("/healthz")).status == 200
        answer = await client.get("/readyz")
        assert (answer.status, answer.body["status"]) == (503, "not ready")
        assert answer.body["checks"]["database"].startswith("it does not answer")
        for refused in (
            await client.post("/v1/messages", message),
            await client.get("/v1/messages"),
            await client.call("PUT", "/v1/topics/new", {"channels": []}),
        ):
            assert (refused.status, refused.body["code"]) == (503, "unavailable")
            assert int(refused.headers["Retry-After"]) >= 1
            assert refused.headers["Content-Type"] == "application/problem+json"
        await wire.mend()

        async def ready() -> Any:
            return (await client.get("/readyz")).status == 200

        await until(ready)
        accepted = await client.post("/v1/messages", message)
        assert accepted.status == 202
        assert (await client.final(accepted.body["id"]))["status"] == "sent"
        assert len((await client.get("/v1/messages")).body["data"]) == 2


@pytest.mark.postgres
async def test_a_network_that_drops_everything_is_noticed_and_got_over(
    tmp_path: Path, postgres_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a sign of an end, only time tells; here a statement has two seconds."""
    monkeypatch.setattr(postgres, "STATEMENT_SECONDS", 2)
    async with (
        wired(postgres_database()) as wire,
        served(make_settings(tmp_path, wire.url)) as client,
    ):
        message = {"topic": "hello", "description": "x"}
        assert (await client.post("/v1/messages", message)).status == 202
        wire.hush()
        refused = await client.post("/v1/messages", message)
        assert (refused.status, refused.body["code"]) == (503, "unavailable")
        answer = await client.get("/readyz")
        assert (answer.status, answer.body["status"]) == (503, "not ready")
        # The network comes back as networks do: what was open is lost.
        await wire.cut()
        await wire.mend()

        async def accepted() -> Any:
            answer = await client.post("/v1/messages", message)
            return answer.status == 202 and answer.body["id"]

        message_id = await until(accepted)

        async def sent() -> bool:
            # That a connection of the pool was lost is found out by its next use.
            answer = await client.get(f"/v1/messages/{message_id}")
            return answer.status == 200 and answer.body["status"] == "sent"

        await until(sent)
