"""The database cannot write for a while: nothing is promised that is not kept, nothing repeated."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from almenara.settings import Settings
from tests.plugins.author import Author
from tests.serving import Client, make_settings, served, until


async def limit_pages(client: Client, count: int) -> None:
    """Let SQLite find its disk full beyond so many pages."""
    await client.parts.database.writer.execute_query(f"PRAGMA max_page_count = {count}")


@asynccontextmanager
async def locked(settings: Settings) -> AsyncIterator[None]:
    """Hold the write lock, as a stray process would that opened the file by hand."""
    connection = sqlite3.connect(settings.database_file, isolation_level=None, timeout=0)

    async def lock() -> bool:
        # Waiting for it in SQLite would stop the loop on which the server ends its transaction.
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True

    try:
        await until(lock)
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


async def test_a_full_disk_is_a_503_and_never_a_202(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    async with served(settings) as client:
        await limit_pages(client, 1)
        refused = []
        for number in range(40):
            answer = await client.post(
                "/v1/messages", {"topic": "hello", "description": f"{number} " + "x" * 4000}
            )
            if answer.status != 202:
                refused.append(answer)
        assert refused
        for answer in refused:
            assert answer.status == 503
            assert answer.body["code"] == "unavailable"
            assert int(answer.headers["Retry-After"]) >= 1
        await limit_pages(client, 1_073_741_823)
        again = await client.post("/v1/messages", {"topic": "hello", "description": "again"})
        assert again.status == 202
        stored = 40 - len(refused) + 1
        listed = (await client.get("/v1/messages?limit=250")).body["data"]
        assert len(listed) == stored


async def test_a_result_that_cannot_be_recorded_is_recorded_later_and_sent_once(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path)
    author = Author(settings.plugins_dir)
    async with served(settings) as client:
        await client.parts.database.writer.execute_query("PRAGMA busy_timeout = 20")
        await client.post("/v1/channels", {"name": "told", "plugin": "Told"})
        accepted = await client.post(
            "/v1/messages", {"channel": "told", "description": "wait for the word"}
        )
        await until(_arrived(author))
        async with locked(settings):
            author.allow("the word")
            refused = await client.post("/v1/messages", {"topic": "hello", "description": "no"})
            assert refused.status == 503
            story = (await client.get(f"/v1/messages/{accepted.body['id']}")).body
            assert story["status"] == "sending"
        story = await client.final(accepted.body["id"])
    assert [one["outcome"] for one in story["deliveries"][0]["attempts"]] == ["sent"]
    assert len(author.traces()) == 1


async def test_a_claim_that_cannot_be_committed_sends_nothing(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    author = Author(settings.plugins_dir)
    async with served(settings) as client:
        await client.parts.database.writer.execute_query("PRAGMA busy_timeout = 20")
        # One at a time, so that the second waits for a claim instead of being born with one.
        await client.post("/v1/channels", {"name": "told", "plugin": "Told", "concurrency": 1})
        first = await client.post(
            "/v1/messages", {"channel": "told", "description": "wait for the word"}
        )
        second = await client.post("/v1/messages", {"channel": "told", "description": "second"})
        assert second.body["deliveries"][0]["status"] == "pending"
        await until(_arrived(author))
        async with locked(settings):
            author.allow("the word")
            for _ in range(20):
                await client.get("/readyz")
            assert len(author.traces()) == 1
        for message in (first, second):
            story = await client.final(message.body["id"])
            assert story["status"] == "sent"
    assert len(author.traces()) == 2


async def test_no_connection_is_held_while_a_plugin_works(
    settings: Settings,
) -> None:
    author = Author(settings.plugins_dir)
    async with served(settings) as client:
        await client.post("/v1/channels", {"name": "told", "plugin": "Told"})
        accepted = await client.post(
            "/v1/messages", {"channel": "told", "description": "wait for the word"}
        )
        await until(_arrived(author))
        if settings.database_url is None:
            # Somebody else can write and read at this very moment, so nobody holds the file.
            async with locked(settings):
                pass
        else:
            url = settings.database_url.get_secret_value()
            assert await until(_idle(url)), "a transaction is open while the plugin works"
        story = (await client.get(f"/v1/messages/{accepted.body['id']}")).body
        assert story["status"] == "sending"
        author.allow("the word")
        assert (await client.final(accepted.body["id"]))["status"] == "sent"


async def test_no_connection_is_held_while_a_plugin_is_asked_what_it_would_send(
    settings: Settings,
) -> None:
    author = Author(settings.plugins_dir)
    async with served(settings) as client:
        await client.post("/v1/channels", {"name": "told", "plugin": "Told"})
        body = {"channel": "told", "description": "wait for the word"}
        asking = asyncio.create_task(client.post("/v1/messages/explain", body))
        await until(_arrived(author))
        if settings.database_url is None:
            async with locked(settings):
                pass
        else:
            url = settings.database_url.get_secret_value()
            assert await until(_idle(url)), "a transaction is open while the plugin works"
        author.allow("the word")
        assert (await asking).status == 200
        assert author.kinds() == ["preview"]


def _idle(url: str) -> Callable[[], Any]:
    """Look whether every connection of the server is idle, outside any transaction."""

    async def look() -> bool:
        connection = await asyncpg.connect(url)
        try:
            busy = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND state <> 'idle'"
            )
        finally:
            await connection.close()
        return bool(busy == 0)

    return look


def _arrived(author: Author) -> Callable[[], Any]:
    async def look() -> bool:
        return bool(author.traces())

    return look
