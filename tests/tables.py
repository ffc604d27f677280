"""The tables of a new database: made by the migrations once a process, and copied from then on.

Hundreds of tests need the tables and not the migrations, which cost more than most of those tests.
The migrations' own tests and each server in a process of its own run them as they are.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any, cast

import asyncpg

from almenara.database import Database, Transaction, open_database
from almenara.migrations import migrate
from almenara.settings import Settings, read_settings
from tests import emptying

_files: list[bytes] = []
_statements: list[tuple[str, tuple[Any, ...]]] = []
#: What the statements make, once they have been executed.
_made: list[emptying.Tables] = []


async def make_tables(settings: Settings) -> None:
    """Give an empty database its tables, as the migrations do; leave any other as it is."""
    if settings.uses_sqlite:
        if not settings.database_file.exists():
            settings.data_dir.mkdir(parents=True, exist_ok=True)
            settings.database_file.write_bytes(await _sqlite_file())
    elif not _statements:
        await _migrate_and_record(settings)
    else:
        assert settings.database_url is not None
        await _replay(settings.database_url.get_secret_value())


async def _sqlite_file() -> bytes:
    if not _files:
        with tempfile.TemporaryDirectory() as directory:
            settings = read_settings({"ALMENARA_DATA_DIR": directory})
            database = await open_database(settings)
            try:
                await migrate(database)
            finally:
                await database.close()
            with closing(sqlite3.connect(settings.database_file)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            _files.append(settings.database_file.read_bytes())
    return _files[0]


class _Recording:
    """A database whose transactions write down what is executed in them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.records: list[tuple[str, tuple[Any, ...]]] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._database.transaction() as transaction:
            connection = transaction.client._connection
            connection.add_query_logger(self._record)
            try:
                yield transaction
                await asyncio.sleep(0)  # records arrive one turn of the loop later
            finally:
                connection.remove_query_logger(self._record)

    def _record(self, query: Any) -> None:
        if not query.query.lstrip().upper().startswith("SELECT"):
            self.records.append((query.query, tuple(query.args)))


async def _migrate_and_record(settings: Settings) -> None:
    database = await open_database(settings)
    recording = _Recording(database)
    try:
        # Of a database that had tables already there is nothing to learn.
        if await migrate(cast("Database", recording)):
            _statements.extend(recording.records)
    finally:
        await database.close()


async def _replay(url: str) -> None:
    async with _connected(url) as connection:
        if await connection.fetchval("SELECT to_regclass('tortoise_migrations')") is not None:
            return
        if _made and await emptying.bring_back(connection, _made[0]):
            return
        async with connection.transaction():
            for statement, values in _statements:
                await connection.execute(statement, *values)
        if not _made:
            _made.append(await emptying.look(connection))


async def drop_tables(url: str) -> None:
    """Empty the database of this run, of whatever a test has left in it."""
    async with _connected(url) as connection:
        await emptying.empty(connection, _made[0] if _made else None)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
