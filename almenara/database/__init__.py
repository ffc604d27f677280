"""Opening the database: Tortoise's set-up, one connection that writes and one that reads.

On SQLite only the ledger's connection writes and checkpoints (SQLite before 3.51.3 can corrupt a
write-ahead log that two connections checkpoint); the other is ``query_only``. On PostgreSQL both
are pools.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.context import TortoiseContext

from almenara.database import postgres
from almenara.database.sqlite import SqliteClient
from almenara.database.transaction import Dialect, Row, Transaction, read_id, read_timestamp
from almenara.errors import ConfigurationError
from almenara.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = [
    "WRITERS",
    "Database",
    "Dialect",
    "Row",
    "Transaction",
    "open_database",
    "read_id",
    "read_timestamp",
    "tortoise_config",
]

Answer = TypeVar("Answer")

#: UPDATE ... FROM with RETURNING came with this version.
_OLDEST_SQLITE = (3, 35, 0)

#: Tortoise keeps the statements it writes by connection name, so a name belongs to one dialect.
_READERS = {"sqlite": "sqlite_reader", "postgres": "postgres_reader"}
WRITERS = {"sqlite": "sqlite_writer", "postgres": "postgres_writer"}


@dataclass(frozen=True)
class Database:
    """The open database of one process."""

    dialect: Dialect
    context: TortoiseContext
    #: For reading: ``using_db=database.reader``.
    reader: BaseDBAsyncClient
    #: For migrations and the ledger, and for nobody else.
    writer: BaseDBAsyncClient
    #: Where PostgreSQL is and how to log in there, as asyncpg names it; empty on SQLite.
    address: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction on the writing connection: commits at the end, or rolls back.

        A commit that returned is synced to disk.
        """
        async with self.writer._in_transaction() as client:  # noqa: SLF001 - by name it would look into the task's context, which a request's task does not have
            yield Transaction(client, self.dialect)

    async def write(self, work: Callable[[Transaction], Awaitable[Answer]]) -> Answer:
        """Do work in a transaction of its own: committed when it returns, rolled back if it raises.

        Args:
            work: waits for nothing but the transaction's own statements.
        """
        if isinstance(self.writer, SqliteClient):
            return await self.writer.in_one_trip(
                lambda client: work(Transaction(client, self.dialect))
            )
        async with self.transaction() as transaction:
            return await work(transaction)

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        """Read rows by one statement on the reading connection."""
        return await Transaction(self.reader, self.dialect).fetch(sql, *values)

    async def truncate_log(self) -> bool:
        """Empty SQLite's write-ahead log into the file, so that deleted content is in neither.

        PostgreSQL does the like by itself (autovacuum).

        Returns:
            False: a reader was in the way, or the writer's transaction; try again later.
        """
        if isinstance(self.writer, SqliteClient):
            return await self.writer.truncate_log()
        return True

    async def connect(self, application_name: str) -> Connection:
        """Open a connection to PostgreSQL outside the pools, on whatever event loop this runs."""
        from asyncpg import connect

        names = postgres.SERVER_SETTINGS | {"application_name": application_name}
        return await connect(**self.address, server_settings=names)

    async def warnings(self) -> list[str]:
        """Say what of the server's set-up breaks the promise of a 202."""
        if self.dialect == "sqlite":
            return []
        [facts] = await self.fetch(postgres.FACTS)
        return postgres.warnings_of(facts)

    async def close(self) -> None:
        """Close every connection."""
        await self.context.close_connections()


async def open_database(settings: Settings) -> Database:
    """Connect to the database of the settings; it may be empty.

    Raises:
        ConfigurationError: it cannot be reached, its URL is wrong, or this SQLite is too old.
    """
    if settings.uses_sqlite:
        _check_sqlite_version()
        _make_directory(settings.data_dir)
        _check_file(settings)
    context = TortoiseContext()
    with context:
        # The fallback lets tasks that did not inherit this context (requests') see the models.
        await context.init(tortoise_config(settings), _enable_global_fallback=True)
    dialect = _dialect(settings)
    database = Database(
        dialect=dialect,
        context=context,
        reader=context.connections.get(_READERS[dialect]),
        writer=context.connections.get(WRITERS[dialect]),
        address={} if settings.uses_sqlite else postgres.address_of(settings),
    )
    try:
        # The writer first: it turns the write-ahead log on, which the reader is not allowed to.
        for client in (database.writer, database.reader):
            await client.execute_query("SELECT 1")
        if not settings.uses_sqlite:
            [facts] = await database.fetch(postgres.FACTS)
            postgres.refuse(postgres.refusal(facts, settings))
    except Exception as error:
        await database.close()
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(_unreachable(settings, error)) from error
    return database


def tortoise_config(settings: Settings) -> dict[str, Any]:
    """Return Tortoise's configuration for these settings."""
    connections = (
        _sqlite_connections(settings) if settings.uses_sqlite else _postgres_connections(settings)
    )
    return {
        "connections": connections,
        "apps": {
            "almenara": {
                "models": ["almenara.models"],
                "default_connection": _READERS[_dialect(settings)],
                "migrations": "almenara.migrations",
            }
        },
        "use_tz": True,
        "timezone": "UTC",
    }


def _dialect(settings: Settings) -> Dialect:
    return "sqlite" if settings.uses_sqlite else "postgres"


def _sqlite_connections(settings: Settings) -> dict[str, Any]:
    pragmas = {
        "file_path": str(settings.database_file),
        "journal_mode": "WAL",
        "synchronous": "FULL",
        "busy_timeout": 5000,
        "foreign_keys": "ON",
        # Cut the log back after a checkpoint; Tortoise's 16 KiB would truncate it at each one.
        "journal_size_limit": 67_108_864,
    }
    # What is deleted is overwritten with zeros in its page: purged texts are gone from the file.
    writing = pragmas | {"secure_delete": "ON"}
    reading = {name: value for name, value in pragmas.items() if not name.startswith("journal")} | {
        "query_only": "ON",
        "wal_autocheckpoint": 0,
        "journal_mode": "WAL",
    }
    return {
        WRITERS["sqlite"]: {"engine": "almenara.database.sqlite", "credentials": writing},
        _READERS["sqlite"]: {"engine": "almenara.database.sqlite", "credentials": reading},
    }


def _postgres_connections(settings: Settings) -> dict[str, Any]:
    engine = "almenara.database.asyncpg"
    writing, reading = postgres.pools(settings)
    return {
        WRITERS["postgres"]: {"engine": engine, "credentials": writing},
        _READERS["postgres"]: {"engine": engine, "credentials": reading},
    }


def _check_sqlite_version() -> None:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        oldest = ".".join(str(part) for part in _OLDEST_SQLITE)
        raise ConfigurationError(
            f"Python's SQLite is {sqlite3.sqlite_version}; Almenara needs {oldest} or newer. "
            "Use a newer Python, or PostgreSQL (ALMENARA_DATABASE_URL)."
        )


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The directory {path} cannot be used: {error.strerror}. Check ALMENARA_DATA_DIR."
        ) from error


def _check_file(settings: Settings) -> None:
    """Find out whether the file can be opened before aiosqlite, whose failure outlives the loop."""
    try:
        sqlite3.connect(settings.database_file).close()
    except sqlite3.Error as error:
        raise ConfigurationError(_unreachable(settings, error)) from error


def _unreachable(settings: Settings, error: Exception) -> str:
    """Say what could not be reached, without the password that stands in the URL."""
    if settings.uses_sqlite:
        return f"The database {settings.database_file} cannot be opened: {error}"
    return postgres.unreachable(settings, error)
