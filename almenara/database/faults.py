"""One classifier of database errors: whose fault it is, and whether trying again may help.

Tortoise lets most driver errors through untranslated, so both drivers' own classes are read here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from enum import Enum
from functools import cache

from tortoise.exceptions import DBConnectionError, IntegrityError


class Fault(Enum):
    """What kind of trouble a database error is."""

    #: The rows themselves are wrong: writing them again cannot help, other rows are fine.
    DATA = "data"
    #: Two transactions stood in each other's way: the same again will do.
    COLLISION = "collision"
    #: The database cannot write just now: full, away, starting, overloaded.
    UNAVAILABLE = "unavailable"


#: Which classes of errors are which fault; the first that fits.
_Kinds = tuple[tuple[Fault, tuple[type[BaseException], ...]], ...]

_KINDS: _Kinds = (
    (
        Fault.DATA,
        (
            IntegrityError,
            sqlite3.IntegrityError,
            sqlite3.DataError,
            UnicodeEncodeError,
            OverflowError,
        ),
    ),
    (Fault.UNAVAILABLE, (OSError, TimeoutError, DBConnectionError, sqlite3.OperationalError)),
)


@cache
def _kinds_of_postgres() -> _Kinds:
    """Return those of the driver of PostgreSQL, which is there when one of them was raised."""
    import asyncpg

    return (
        (Fault.COLLISION, (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)),
        (Fault.DATA, (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)),
        (
            Fault.UNAVAILABLE,
            (
                asyncpg.PostgresConnectionError,
                asyncpg.InsufficientResourcesError,
                asyncpg.OperatorInterventionError,
                asyncpg.InterfaceError,
                asyncpg.InternalServerError,
                # A connection that the server just ended, before asyncpg took notice.
                asyncpg.InternalClientError,
                asyncpg.PostgresSystemError,
                # It ended a transaction that a frozen process had open, or became a replica.
                asyncpg.IdleInTransactionSessionTimeoutError,
                asyncpg.ReadOnlySQLTransactionError,
            ),
        ),
    )


def classify(error: BaseException) -> Fault | None:
    """Return what kind of database trouble an error is; ``None``: none, but a mistake of ours."""
    for cause in causes(error):
        driver = type(cause).__module__.partition(".")[0]
        kinds = _kinds_of_postgres() if driver == "asyncpg" else _KINDS
        fault = next((fault for fault, classes in kinds if isinstance(cause, classes)), None)
        if fault is Fault.UNAVAILABLE and isinstance(cause, sqlite3.Error):
            return _of_sqlite(cause)
        if fault is not None:
            return fault
    return None


def _of_sqlite(error: sqlite3.Error) -> Fault | None:
    """Tell "disk full" and "locked" from "no such column", which share a class in SQLite."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE}:
        return None
    return Fault.UNAVAILABLE


def causes(error: BaseException) -> Iterator[BaseException]:
    """Walk from an error through what it wraps: Tortoise puts the driver's error into ``args``."""
    one: BaseException | None = error
    while one is not None:
        yield one
        inner = next((part for part in one.args if isinstance(part, BaseException)), None)
        one = inner or one.__cause__
