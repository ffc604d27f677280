"""Bringing a database up to date: all of it or nothing, once, whoever else tries at that moment."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

import pytest
from tortoise.migrations.operations import RunSQL

from almenara.database import Database, open_database
from almenara.errors import ConfigurationError
from almenara.migrations import is_empty, migrate, missing_migrations
from almenara.settings import Settings

NAMES = [
    *("0001_initial", "0002_discipline", "0003_policies", "0004_audit"),
    *("0005_templates", "0006_attachments", "0007_verification", "0008_plugin_revisions"),
    *("0009_charts", "0010_traces"),
]
#: A process must have migrated within so many seconds.
PATIENCE_SECONDS = 60
TABLES = {
    "attachment_chunk",
    "attachment_content",
    "attachment_use",
    "attempt",
    "audit",
    "channel",
    "channel_state",
    "configuration",
    "delivery",
    "idempotency_key",
    "message",
    "process",
    "replay",
    "tally",
    "topic",
    "topic_channel",
    "tortoise_migrations",
}
FIRST = import_module("almenara.migrations.0001_initial").Migration

#: Migrates, and is killed in the middle if it is told a number of operations to let through.
_MIGRATE = """
import asyncio, os, sys
from importlib import import_module
from tortoise.migrations.operations import RunSQL
from almenara.database import open_database
from almenara.migrations import migrate
from almenara.settings import read_settings

class Killing(RunSQL):
    async def database_forward(self, *_, **__):
        os.kill(os.getpid(), 9)

if len(sys.argv) > 1:
    first = import_module("almenara.migrations.0001_initial").Migration
    first.operations.insert(int(sys.argv[1]), Killing(""))

async def main():
    database = await open_database(read_settings())
    print("ready", flush=True)
    sys.stdin.readline()
    print(*await migrate(database), flush=True)
    await database.close()

asyncio.run(main())
"""


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """A database without any table."""
    one = await open_database(settings)
    yield one
    await one.close()


async def tables(database: Database) -> set[str]:
    look = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
        "postgres": "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'",
    }
    return {row["name"] for row in await database.fetch(look[database.dialect])}


def fail_after(monkeypatch: pytest.MonkeyPatch, count: int, operation: Any) -> None:
    """Put an operation into the first migration, behind so many of its own."""
    operations = FIRST.operations
    monkeypatch.setattr(FIRST, "operations", [*operations[:count], operation, *operations[count:]])


@contextmanager
def migrating(settings: Settings, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process that connects, and migrates when it is sent a line."""
    environ = os.environ | {"ALMENARA_DATA_DIR": str(settings.data_dir)}
    if settings.database_url is not None:
        environ["ALMENARA_DATABASE_URL"] = settings.database_url.get_secret_value()
    with subprocess.Popen(
        [sys.executable, "-c", _MIGRATE, *arguments],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def answer_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Let a process migrate, and return what it wrote."""
    return process.communicate("go\n", timeout=PATIENCE_SECONDS)


async def test_an_empty_database_is_migrated(database: Database) -> None:
    assert await is_empty(database)
    assert await missing_migrations(database) == NAMES
    assert await tables(database) == set()
    assert await migrate(database) == NAMES
    assert await tables(database) == TABLES
    assert not await is_empty(database)
    assert await missing_migrations(database) == []
    assert await database.fetch("SELECT id, revision FROM configuration") == [
        {"id": 1, "revision": 1}
    ]


async def test_migrating_twice_changes_nothing(database: Database) -> None:
    await migrate(database)
    async with database.transaction() as transaction:
        await transaction.execute("UPDATE configuration SET revision = 7")
    records = await database.fetch("SELECT * FROM tortoise_migrations")
    assert await migrate(database) == []
    assert await database.fetch("SELECT * FROM tortoise_migrations") == records
    [row] = await database.fetch("SELECT revision FROM configuration")
    assert row["revision"] == 7


async def test_of_several_tasks_that_migrate_at_once_one_does_it(database: Database) -> None:
    results = await asyncio.gather(*(migrate(database) for _ in range(4)))
    assert sorted(results) == [[], [], [], NAMES]
    assert await tables(database) == TABLES


async def test_of_several_processes_that_migrate_at_once_one_does_it(
    database: Database, settings: Settings
) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(migrating(settings)) for _ in range(3)]
        answers = await asyncio.gather(
            *(asyncio.to_thread(answer_of, process) for process in processes)
        )
    assert sorted(answers) == [("\n", ""), ("\n", ""), (f"{' '.join(NAMES)}\n", "")]
    assert await tables(database) == TABLES
    assert len(await database.fetch("SELECT * FROM configuration")) == 1


@pytest.mark.parametrize("done", [0, 3, len(FIRST.operations)])
async def test_a_migration_that_fails_in_the_middle_leaves_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    with monkeypatch.context() as patch:
        fail_after(patch, done, RunSQL("INSERT INTO no_such_table VALUES (1)"))
        with pytest.raises(Exception, match="no_such_table"):
            await migrate(database)
    assert await tables(database) == set()
    assert await is_empty(database)
    assert await missing_migrations(database) == NAMES
    assert await migrate(database) == NAMES
    assert await tables(database) == TABLES


async def test_a_process_killed_in_the_middle_leaves_nothing(
    database: Database, settings: Settings
) -> None:
    with migrating(settings, "5") as process:
        assert answer_of(process) == ("", "")
    assert process.returncode == -9
    assert await tables(database) == set()
    assert await migrate(database) == NAMES
    assert await tables(database) == TABLES


async def test_a_task_cancelled_in_the_middle_leaves_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()

    class Waiting(RunSQL):
        async def database_forward(self, *_: Any, **__: Any) -> None:
            reached.set()
            await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        fail_after(patch, 5, Waiting(""))
        task = asyncio.create_task(migrate(database))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await tables(database) == set()
    assert await migrate(database) == NAMES


async def test_a_schema_from_the_future_is_refused(database: Database) -> None:
    await migrate(database)
    await record(database, "almenara", "0002_from_the_future")
    await record(database, "almenara", "0003_from_the_future")
    for use in (migrate, missing_migrations):
        with pytest.raises(ConfigurationError) as caught:
            await use(database)
        assert caught.value.message == (
            "The database's schema is newer than this version of Almenara (0003_from_the_future). "
            "Install the version that wrote it, or restore a backup."
        )
    assert not await is_empty(database)


async def test_the_records_of_other_applications_are_not_ours(database: Database) -> None:
    await migrate(database)
    await record(database, "somebody_else", "0009_theirs")
    assert await missing_migrations(database) == []
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM tortoise_migrations WHERE app = 'almenara'")
    assert await is_empty(database)
    assert await missing_migrations(database) == NAMES


async def record(database: Database, app: str, name: str) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(
            "INSERT INTO tortoise_migrations (app, name, applied_at) VALUES ($1, $2, '2027-01-01')",
            *(app, name),
        )
