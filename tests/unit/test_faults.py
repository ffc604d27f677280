"""Whose fault a database error is: errors as the drivers raise them, bare and wrapped."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from tortoise.exceptions import (
    BaseORMException,
    DBConnectionError,
    IntegrityError,
    OperationalError,
    TransactionManagementError,
)

from almenara.database.faults import Fault, classify


def of_sqlite(directory: Path, *statements: str) -> sqlite3.Error:
    """Return the error that SQLite itself raises at the last statement."""
    connection = sqlite3.connect(directory / "faults.sqlite3", isolation_level=None, timeout=0)
    try:
        connection.execute("CREATE TABLE thing (name TEXT UNIQUE NOT NULL, size INT CHECK(size>0))")
        for statement in statements[:-1]:
            connection.execute(statement)
        with pytest.raises(sqlite3.Error) as caught:
            connection.execute(statements[-1])
    finally:
        connection.close()
    return caught.value


def disk_full(directory: Path) -> sqlite3.Error:
    return of_sqlite(
        directory,
        "PRAGMA max_page_count = 3",
        "INSERT INTO thing (name) VALUES (hex(randomblob(100000)))",
    )


def locked(directory: Path) -> sqlite3.Error:
    holder = sqlite3.connect(directory / "faults.sqlite3", isolation_level=None)
    try:
        holder.execute("CREATE TABLE other (id INT)")
        holder.execute("BEGIN IMMEDIATE")
        waiting = sqlite3.connect(directory / "faults.sqlite3", isolation_level=None, timeout=0)
        try:
            with pytest.raises(sqlite3.Error) as caught:
                waiting.execute("BEGIN IMMEDIATE")
        finally:
            waiting.close()
    finally:
        holder.close()
    return caught.value


def read_only(directory: Path) -> sqlite3.Error:
    return of_sqlite(directory, "PRAGMA query_only = ON", "INSERT INTO thing (name) VALUES ('a')")


def cannot_open(directory: Path) -> sqlite3.Error:
    with pytest.raises(sqlite3.Error) as caught:
        sqlite3.connect(directory / "nowhere" / "faults.sqlite3")
    return caught.value


def not_unique(directory: Path) -> sqlite3.Error:
    insert = "INSERT INTO thing (name) VALUES ('a')"
    return of_sqlite(directory, insert, insert)


def not_null(directory: Path) -> sqlite3.Error:
    return of_sqlite(directory, "INSERT INTO thing (name) VALUES (NULL)")


def not_checked(directory: Path) -> sqlite3.Error:
    return of_sqlite(directory, "INSERT INTO thing (name, size) VALUES ('a', 0)")


def no_such_column(directory: Path) -> sqlite3.Error:
    return of_sqlite(directory, "SELECT nothing FROM thing")


def no_such_table(directory: Path) -> sqlite3.Error:
    return of_sqlite(directory, "SELECT * FROM nowhere")


def not_a_statement(directory: Path) -> sqlite3.Error:
    return of_sqlite(directory, "SELEKT 1")


SQLITE = [
    (disk_full, Fault.UNAVAILABLE),
    (locked, Fault.UNAVAILABLE),
    (read_only, Fault.UNAVAILABLE),
    (cannot_open, Fault.UNAVAILABLE),
    (not_unique, Fault.DATA),
    (not_null, Fault.DATA),
    (not_checked, Fault.DATA),
    (no_such_column, None),
    (no_such_table, None),
    (not_a_statement, None),
]


@pytest.mark.parametrize(("make", "fault"), SQLITE)
def test_what_sqlite_raises_is_told_apart(
    tmp_path: Path, make: Callable[[Path], sqlite3.Error], fault: Fault | None
) -> None:
    error = make(tmp_path)
    assert classify(error) is fault
    # As Tortoise wraps it: the driver's error is the argument of its own, without a cause.
    assert classify(OperationalError(error)) is (Fault.DATA if fault is Fault.DATA else fault)


POSTGRES = [
    (asyncpg.DeadlockDetectedError, Fault.COLLISION),
    (asyncpg.SerializationError, Fault.COLLISION),
    (asyncpg.UniqueViolationError, Fault.DATA),
    (asyncpg.ForeignKeyViolationError, Fault.DATA),
    (asyncpg.NotNullViolationError, Fault.DATA),
    (asyncpg.CheckViolationError, Fault.DATA),
    (asyncpg.DataError, Fault.DATA),
    (asyncpg.StringDataRightTruncationError, Fault.DATA),
    (asyncpg.NumericValueOutOfRangeError, Fault.DATA),
    (asyncpg.CharacterNotInRepertoireError, Fault.DATA),
    (asyncpg.ConnectionDoesNotExistError, Fault.UNAVAILABLE),
    (asyncpg.ConnectionFailureError, Fault.UNAVAILABLE),
    (asyncpg.CannotConnectNowError, Fault.UNAVAILABLE),
    (asyncpg.AdminShutdownError, Fault.UNAVAILABLE),
    (asyncpg.CrashShutdownError, Fault.UNAVAILABLE),
    (asyncpg.QueryCanceledError, Fault.UNAVAILABLE),
    (asyncpg.DiskFullError, Fault.UNAVAILABLE),
    (asyncpg.TooManyConnectionsError, Fault.UNAVAILABLE),
    (asyncpg.OutOfMemoryError, Fault.UNAVAILABLE),
    (asyncpg.PostgresIOError, Fault.UNAVAILABLE),
    (asyncpg.IdleInTransactionSessionTimeoutError, Fault.UNAVAILABLE),
    (asyncpg.ReadOnlySQLTransactionError, Fault.UNAVAILABLE),
    (asyncpg.InterfaceError, Fault.UNAVAILABLE),
    (asyncpg.InternalClientError, Fault.UNAVAILABLE),
    (asyncpg.UndefinedColumnError, None),
    (asyncpg.UndefinedTableError, None),
    (asyncpg.PostgresSyntaxError, None),
    (asyncpg.InFailedSQLTransactionError, None),
]


@pytest.mark.parametrize(("kind", "fault"), POSTGRES)
def test_what_postgresql_raises_is_told_apart(
    kind: Callable[[str], Exception], fault: Fault | None
) -> None:
    error = kind("as the server says it")
    assert classify(error) is fault


@pytest.mark.parametrize(
    "wrap", [OperationalError, IntegrityError, TransactionManagementError, DBConnectionError]
)
@pytest.mark.parametrize(("kind", "fault"), POSTGRES)
def test_what_tortoise_wraps_is_judged_by_the_wrapper_and_what_is_in_it(
    kind: Callable[[str], Exception], fault: Fault | None, wrap: type[BaseORMException]
) -> None:
    wrappers = {IntegrityError: Fault.DATA, DBConnectionError: Fault.UNAVAILABLE}
    expected = wrappers.get(wrap, fault)
    assert classify(wrap(kind("as the server says it"))) is expected


@pytest.mark.parametrize(
    "error", [ConnectionResetError("gone"), OSError(28, "No space left"), TimeoutError()]
)
def test_a_connection_that_was_lost_is_unavailable(error: Exception) -> None:
    assert classify(error) is Fault.UNAVAILABLE
    assert classify(DBConnectionError("cannot connect")) is Fault.UNAVAILABLE


def test_text_that_no_database_can_store_is_bad_data() -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        "\ud800".encode()
    assert classify(caught.value) is Fault.DATA


def test_a_number_that_no_column_can_store_is_bad_data() -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(OverflowError) as caught:
        connection.execute("SELECT ?", (2**80,))
    connection.close()
    assert classify(caught.value) is Fault.DATA


def test_the_cause_of_an_error_is_looked_at_too(tmp_path: Path) -> None:
    outer = RuntimeError("the batch was not written")
    outer.__cause__ = OperationalError(disk_full(tmp_path))
    assert classify(outer) is Fault.UNAVAILABLE


def test_an_error_in_an_error_counts_more_than_the_cause_of_both(tmp_path: Path) -> None:
    outer = OperationalError(asyncpg.DeadlockDetectedError("deadlock"))
    outer.__cause__ = disk_full(tmp_path)
    assert classify(outer) is Fault.COLLISION


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyError("id"), AssertionError()])
def test_a_mistake_of_ours_is_no_fault_of_the_database(error: Exception) -> None:
    assert classify(error) is None


def test_an_error_of_sqlite_without_a_code_is_a_mistake_of_ours() -> None:
    assert classify(sqlite3.OperationalError("made by hand")) is None
