"""Parses the JSON of a request and stores it, with no framework and no product: what is possible.

One row for each message, in Almenara's own table with its indexes, and one commit, synced to disk,
for all that came during the one before; statements as plain as Python's `sqlite3` has them. Nothing
is checked, routed, known to be a repetition or counted, and nobody needs a token. It is not a way
that anybody would write the endpoint: it says how much of the time belongs to the server, the row
and the sync, and so how much there is left to win.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from almenara.database import open_database
from almenara.migrations import migrate
from almenara.models import new_id
from almenara.settings import read_settings
from bench.references.bare import answer, receive_body

_INSERT = (
    "INSERT INTO message (id, topic, status, title, description, format, priority, tags, data,"
    " recipients, reference, metadata, attachments, created_at, redact)"
    " VALUES (?, ?, 'no_route', NULL, ?, 'text', 3, '[]', '{}', '[]', NULL, '{}', '[]', ?, 0)"
)

_TURNS_BETWEEN = 6


class _Store:
    """Stores rows in a thread of its own; all that wait share a commit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(1)
        self._waiting: list[tuple[tuple[str, ...], asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def store(self, row: tuple[str, ...]) -> None:
        """Return when a row is on the disk."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((row, future))
        self._wake.set()
        await future

    async def _run(self) -> None:
        in_thread = asyncio.get_running_loop().run_in_executor
        connection = await in_thread(self._pool, self._connect)
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            if batch:
                await in_thread(self._pool, _commit, connection, [row for row, _ in batch])
            for _, future in batch:
                future.set_result(None)
            # As Almenara's ledger does it: whoever was woken shares the next commit.
            for _ in range(_TURNS_BETWEEN):
                if len(self._waiting) >= len(batch):
                    break
                await asyncio.sleep(0)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection


def _commit(connection: sqlite3.Connection, rows: list[tuple[str, ...]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_INSERT, rows)
    connection.execute("COMMIT")


_stores: list[_Store] = []


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Read a request, store it, and answer 202."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    message = json.loads(await receive_body(receive))
    now = datetime.now(UTC).isoformat(" ")
    await _stores[0].store((str(new_id()), message["topic"], message["description"], now))
    await answer(send)


async def _live(receive: Any, send: Any) -> None:
    """Make the tables and the store when the server starts."""
    await receive()
    settings = read_settings()
    database = await open_database(settings)
    await migrate(database)
    await database.close()
    _stores.append(_Store(settings.database_file))
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
