"""The schema's history, and the one way to bring a database up to date.

Tortoise writes the record of an applied migration outside the migration's transaction, and without
a lock. Here one transaction holds the lock, the changes and their records: killed at any moment, a
database is at its old schema or at the new one.
"""

from __future__ import annotations

from pkgutil import iter_modules
from typing import Any

from almenara.database import WRITERS, Database, Transaction
from almenara.errors import ConfigurationError

#: Any number, the same in every process: the advisory lock that migrations take on PostgreSQL.
_ADVISORY_LOCK = 4_104_100_131_105


def _apps(transaction: Transaction) -> dict[str, dict[str, Any]]:
    return {
        "almenara": {
            "models": ["almenara.models"],
            "default_connection": WRITERS[transaction.dialect],
            "migrations": "almenara.migrations",
        }
    }


async def migrate(database: Database) -> list[str]:
    """Apply what is missing, all of it or nothing, and return the names of what was applied.

    Safe to call from several processes at once: the later ones find nothing left to do.

    Raises:
        ConfigurationError: the database's schema is newer than this version of Almenara.
    """
    async with database.transaction() as transaction:
        if transaction.dialect == "postgres":
            await transaction.execute("SELECT pg_advisory_xact_lock($1)", _ADVISORY_LOCK)
        names = await _missing(transaction)
        if names:
            from almenara.database.applying import Executor, little_to_look_at

            executor = Executor(transaction.client, _apps(transaction))
            # First of all the table of records: the executor looks into it before it makes it,
            # which would spoil PostgreSQL's transaction.
            editor = executor._schema_editor(atomic=False)  # noqa: SLF001 - no public way
            await executor.recorder.ensure_schema(editor)
            with little_to_look_at():
                await executor.migrate()
        return names


async def missing_migrations(database: Database) -> list[str]:
    """Return the names of the migrations that were not applied yet, oldest first.

    Raises:
        ConfigurationError: the database's schema is newer than this version of Almenara.
    """
    async with database.transaction() as transaction:
        return await _missing(transaction)


async def is_empty(database: Database) -> bool:
    """Tell whether no migration was ever applied."""
    async with database.transaction() as transaction:
        return not await _applied(transaction)


async def _missing(transaction: Transaction) -> list[str]:
    known = {module.name for module in iter_modules(__path__) if module.name[0].isdigit()}
    applied = await _applied(transaction)
    newer = applied - known
    if newer:
        raise ConfigurationError(
            f"The database's schema is newer than this version of Almenara ({max(newer)}). "
            "Install the version that wrote it, or restore a backup."
        )
    return sorted(known - applied)


async def _applied(transaction: Transaction) -> set[str]:
    """Read the records of applied migrations; none when their table does not exist yet."""
    if transaction.dialect == "sqlite":
        look = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = $1"
    else:
        look = "SELECT to_regclass($1)::text AS name WHERE to_regclass($1) IS NOT NULL"
    if not await transaction.fetch(look, "tortoise_migrations"):
        return set()
    rows = await transaction.fetch("SELECT name FROM tortoise_migrations WHERE app = 'almenara'")
    return {row["name"] for row in rows}
