"""The SQLite engine for Tortoise: transactions that begin IMMEDIATE and survive cancellation.

Two faults of Tortoise 1.1.9 are cured here. A task cancelled while it enters a transaction left the
connection's lock taken for ever (tortoise/tortoise-orm#1152). And ``BEGIN`` is deferred, so that
several processes which read and then write fail with "database is locked" in spite of the busy
timeout. The module's name contains ``sqlite`` because the migration executor chooses its dialect by
that.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar, cast

from tortoise.backends.base.client import TransactionalDBClient, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient as TortoiseSqliteClient
from tortoise.backends.sqlite.client import (
    SqliteTransactionContext,
    SqliteTransactionWrapper,
    translate_exceptions,
)
from tortoise.connection import get_connections

Answer = TypeVar("Answer")

#: A checkpoint that empties the log waits so long for readers, in milliseconds.
_CHECKPOINT_BUSY_MS = 100


class SqliteClient(TortoiseSqliteClient):
    """A connection to one SQLite file."""

    def _in_transaction(self) -> TransactionContext:
        return SafeTransactionContext(ImmediateTransaction(self), self._lock)

    async def in_one_trip(self, work: Callable[[SqliteClient], Awaitable[Answer]]) -> Answer:
        """Do the work of one transaction in the connection's thread, all of it in one trip.

        A trip for each statement and its commit costs the event loop a wake-up and the interpreter
        lock each time: with a batch of a few rows, more than the statements.

        Args:
            work: waits for nothing but the statements of the transaction that it is given.
        """
        async with self.acquire_connection() as connection:
            return cast("Answer", await connection._execute(_work_through, self, work))  # noqa: SLF001 - it has no public way into its thread

    async def truncate_log(self) -> bool:
        """Bring the write-ahead log into the file and empty it; false if a reader is in it.

        Between two transactions, as it takes the lock that they take.
        """
        async with self.acquire_connection() as connection:
            # Whoever waits to write must not wait five seconds for somebody's backup.
            await connection.execute_fetchall(f"PRAGMA busy_timeout={_CHECKPOINT_BUSY_MS}")
            try:
                [row] = await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                usual = self.pragmas["busy_timeout"]
                await connection.execute_fetchall(f"PRAGMA busy_timeout={usual}")
        return bool(row[0] == 0)


class ImmediateTransaction(SqliteTransactionWrapper):
    """A transaction that takes the write lock when it begins, and so never has to upgrade."""

    async def begin(self) -> None:
        """Take the write lock; waits for the busy timeout (5 s) at most."""
        await _begin(self, "BEGIN IMMEDIATE")

    async def execute_script(self, query: str) -> None:
        """Run several statements inside this transaction.

        Python's ``executescript`` commits first, which would tear a migration from its record.
        """
        for statement in _statements(query):
            await self.execute_query(statement)


class OneTripTransaction(ImmediateTransaction):
    """The same for work that is in the connection's thread already: its statements run at once."""

    def __init__(self, client: SqliteClient) -> None:
        super().__init__(client)
        self._here: sqlite3.Connection = self._connection._conn  # noqa: SLF001 - aiosqlite keeps it to itself

    @translate_exceptions
    async def execute_query(
        self, query: str, values: list[Any] | None = None
    ) -> tuple[int, Sequence[Any]]:
        """Run one statement; return how many rows it changed, and those that it gave."""
        before = self._here.total_changes
        rows = self._here.execute(query, values or ()).fetchall()
        return (self._here.total_changes - before) or len(rows), rows

    async def execute_query_dict(
        self, query: str, values: list[Any] | None = None
    ) -> list[dict[str, Any]]:
        """Run one statement, and return its rows."""
        _, rows = await self.execute_query(query, values)
        return [dict(row) for row in rows]

    @translate_exceptions
    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        """Run one statement with many rows of values."""
        self._here.executemany(query, values)

    async def begin(self) -> None:
        """Take the write lock; waits for the busy timeout (5 s) at most."""
        await self._run("BEGIN IMMEDIATE")

    async def commit(self) -> None:
        """Commit: synced to disk when it returns."""
        await self._run("COMMIT")

    @translate_exceptions
    async def _run(self, statement: str) -> None:
        self._here.execute(statement)

    async def rollback(self) -> None:
        """Roll back, if anything is open: a COMMIT that failed (disk full) is."""
        self._here.rollback()


def _work_through(
    client: SqliteClient, work: Callable[[OneTripTransaction], Awaitable[Answer]]
) -> Answer:
    """Run a transaction from its begin to its end in the thread that calls."""
    return _at_once(_in_transaction(OneTripTransaction(client), work))


async def _in_transaction(
    transaction: OneTripTransaction, work: Callable[[OneTripTransaction], Awaitable[Answer]]
) -> Answer:
    await transaction.begin()
    try:
        answer = await work(transaction)
        await transaction.commit()
    except BaseException:
        await transaction.rollback()
        raise
    return answer


def _at_once(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a coroutine that has nothing to wait for, without an event loop.

    Raises:
        RuntimeError: it waits for something.
    """
    try:
        work.send(None)
    except StopIteration as ended:
        return cast("Answer", ended.value)
    work.throw(RuntimeError("The work of a transaction waits for something besides its statements"))
    raise AssertionError  # it has raised what was thrown


@translate_exceptions
async def _begin(transaction: ImmediateTransaction, statement: str) -> None:
    await transaction._connection.execute(statement)  # noqa: SLF001 - the base class's own handle


def _statements(script: str) -> Iterator[str]:
    """Take a script apart where SQLite itself sees a statement end."""
    statement = ""
    for part in script.split(";"):
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            if statement.strip("; \n\t"):
                yield statement
            statement = ""


class SafeTransactionContext(SqliteTransactionContext):
    """A transaction context that gives the lock back however its entry or exit is broken off."""

    async def __aenter__(self) -> TransactionalDBClient:
        await self._trxlock.acquire()
        token = None
        try:
            await self.ensure_connection()
            token = get_connections().set(self.connection_name, self.connection)
            await self.connection.begin()
        except BaseException:
            get_connections().reset(token)
            # The BEGIN may still be on its way in the connection's thread: the roll-back queues up
            # behind it, in a task of its own, so that a second cancellation cannot cut it short.
            await asyncio.shield(asyncio.ensure_future(self._give_back()))
            raise
        self.token = token
        return self.connection  # type: ignore[no-any-return]  # Tortoise types it as Any

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        get_connections().reset(self.token)
        ending = asyncio.ensure_future(self._end(failed=exc_type is not None))
        await asyncio.shield(ending)

    async def _end(self, *, failed: bool) -> None:
        try:
            if self.connection._finalized:  # noqa: SLF001 - Tortoise has no public word for it
                return
            if failed:
                await self.connection.rollback()
            else:
                await self._commit()
        finally:
            self._trxlock.release()

    async def _commit(self) -> None:
        try:
            await self.connection.commit()
        except BaseException:
            # A COMMIT that failed (disk full) leaves the transaction open: the next one must not
            # find it.
            await self.connection._connection.rollback()  # noqa: SLF001 - see above
            raise

    async def _give_back(self) -> None:
        try:
            if self.connection._connection:  # noqa: SLF001 - see above
                await self.connection._connection.rollback()  # noqa: SLF001 - see above
        finally:
            self._trxlock.release()


#: The name under which Tortoise looks for an engine's client.
client_class = SqliteClient
