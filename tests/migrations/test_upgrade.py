"""Upgrades: every row of every older schema is kept, and processes one version apart get on."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget

from almenara.cli import run
from almenara.database import Database, open_database
from almenara.migrations import _apps, migrate
from almenara.settings import Settings
from tests.acceptance.test_crash import client_of
from tests.migrations.test_migrations import NAMES, TABLES
from tests.processes import ServerProcess, WorkerProcess
from tests.serving import make_settings

THEN = datetime(2026, 11, 24, 8, 0, 0, 123456, tzinfo=UTC)
ONE, TWO, THREE, FOUR, FIVE = (UUID(int=(0x7000 << 64) | (2 << 62) | n) for n in range(1, 6))
SHA = "a" * 64

#: A row of each table, with all that it may hold today; an older schema takes the columns it has.
ROWS: dict[str, dict[str, Any]] = {
    "channel": {
        "id": ONE,
        "name": "old",
        "plugin": "Log",
        "settings": "{}",
        "enabled": True,
        "timeout_seconds": 15.0,
        "retry_schedule": '["10s"]',
        "concurrency": 4,
        "on_unknown": "retry",
        "revision": 3,
        "created_at": THEN,
        "updated_at": THEN,
        "rate": "5/s",
        "burst": 2,
        "breaker_failures": 7,
        "breaker_wait": "20s",
        "template": '{"text": "x"}',
        "verify_every": "1h",
    },
    "channel_state": {
        "channel_id": ONE,
        "state": "active",
        "failure_count": 2,
        "changed_at": THEN,
        "verify_outcome": "ok",
        "verified_at": THEN,
    },
    "topic": {
        "id": TWO,
        "name": "older",
        "strategy": "all",
        "enabled": True,
        "created_at": THEN,
        "updated_at": THEN,
        "step_deadline_seconds": 60,
        "redact": False,
    },
    "topic_channel": {
        "id": THREE,
        "position": 0,
        "channel_id": ONE,
        "topic_id": TWO,
        "condition": '{"priority": {"at_most": 2}}',
    },
    "message": {
        "id": FOUR,
        "topic": "older",
        "status": "sent",
        "title": "¿Qué?",
        "priority": 2,
        "description": "An old text 🎉",
        "format": "text",
        "tags": '["x"]',
        "data": '{"a": [1.5, null]}',
        "recipients": "[]",
        "reference": "r",
        "metadata": "{}",
        "sender": "shop",
        "send_at": THEN,
        "created_at": THEN,
        "expires_at": THEN,
        "collapse_key": "k",
        "redact": False,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    },
    "idempotency_key": {
        "message_id": FOUR,
        "sender": "shop",
        "key": "one",
        "fingerprint": SHA,
        "created_at": THEN,
    },
    "delivery": {
        "id": FIVE,
        "channel": "old",
        "position": 0,
        "status": "sent",
        "priority": 2,
        "due_at": THEN,
        "attempt_number": 1,
        "retry_step": 0,
        "death_count": 0,
        "created_at": THEN,
        "finished_at": THEN,
        "message_id": FOUR,
        "reference": "ext",
    },
    "attempt": {
        "id": FIVE,
        "message_id": FOUR,
        "number": 1,
        "outcome": "sent",
        "reference": "ext",
        "started_at": THEN,
        "finished_at": THEN,
        "duration_ms": 12,
        "late": False,
        "delivery_id": FIVE,
    },
    "replay": {
        "id": ONE,
        "status": "done",
        "filters": "{}",
        "total_count": 3,
        "until_id": FIVE,
        "due_at": THEN,
        "created_at": THEN,
        "finished_at": THEN,
    },
    "audit": {
        "id": ONE,
        "subject": "ana",
        "action": "topic.created",
        "object": "topic/older",
        "after": '{"name": "older"}',
        "created_at": THEN,
    },
    "attachment_content": {"sha256": SHA, "size": 3, "complete": True, "touched_at": THEN},
    "attachment_chunk": {"id": ONE, "position": 0, "data": b"\x00\xff1", "content_id": SHA},
    "attachment_use": {"id": TWO, "content_id": SHA, "message_id": FOUR},
    "process": {
        "id": ONE,
        "name": "1@old",
        "role": "worker",
        "version": "1.0.0",
        "started_at": THEN,
        "seen_at": THEN,
    },
    "tally": {
        "id": ONE,
        "minute": THEN,
        "topic": "older",
        "channel": "old",
        "outcome": "sent",
        "reason": "",
        "count": 3,
    },
}


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    one = await open_database(settings)
    yield one
    await one.close()


async def migrate_to(database: Database, name: str) -> None:
    """Make the schema that was the newest one when a migration was."""
    async with database.transaction() as transaction:
        executor = MigrationExecutor(transaction.client, _apps(transaction))
        await executor.recorder.ensure_schema(executor._schema_editor(atomic=False))
        await executor.migrate([MigrationTarget("almenara", name)])


async def columns_of(database: Database, table: str) -> list[str]:
    """Return a table's columns; none: there is no such table."""
    if database.dialect == "sqlite":
        rows = await database.fetch(f"SELECT name FROM pragma_table_info('{table}')")
    else:
        rows = await database.fetch(
            "SELECT column_name AS name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = $1",
            table,
        )
    return [row["name"] for row in rows]


async def fill(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Put a row into every table that there is, and return all of them as they are stored."""
    stored = {}
    async with database.transaction() as transaction:
        await transaction.execute("UPDATE configuration SET revision = 7")
        for table, row in ROWS.items():
            known = [name for name in await columns_of(database, table) if name in row]
            if not known:
                continue
            places = ", ".join(f"${number}" for number in range(1, len(known) + 1))
            await transaction.execute(
                f"INSERT INTO {table} ({', '.join(known)}) VALUES ({places})",
                *(row[name] for name in known),
            )
            stored[table] = await transaction.fetch(f"SELECT * FROM {table}")
        stored["configuration"] = await transaction.fetch("SELECT * FROM configuration")
    return stored


@pytest.mark.parametrize("name", NAMES)
async def test_every_row_of_an_older_schema_is_kept(database: Database, name: str) -> None:
    await migrate_to(database, name)
    before = await fill(database)
    assert await migrate(database) == NAMES[NAMES.index(name) + 1 :]
    for table, rows in before.items():
        after = await database.fetch(f"SELECT * FROM {table}")
        assert [{key: row[key] for key in rows[0]} for row in after] == rows
    if name == NAMES[-1]:
        assert set(before) == TABLES - {"tortoise_migrations"}


async def test_the_server_upgrades_when_it_is_told_to_and_shows_what_was(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    database = await open_database(settings)
    await migrate_to(database, NAMES[0])
    await fill(database)
    await database.close()
    with ServerProcess(tmp_path) as refused:
        assert refused.wait() == 78
    assert "`almenara migrate`, or start the server with `almenara serve --migrate`" in (
        refused.output
    )
    with ServerProcess(tmp_path, arguments=("--migrate",)) as server:
        assert json.dumps(NAMES[1:]) in server.output
        async with client_of(server) as client:
            story = (await client.get(f"/v1/messages/{FOUR}")).body
            assert (story["title"], story["data"]) == ("¿Qué?", {"a": [1.5, None]})
            assert story["deliveries"][0]["attempts"][0]["outcome"] == "sent"
            sent = await client.post("/v1/messages", {"topic": "older", "description": "new"})
            assert (await client.final(sent.body["id"]))["status"] == "sent"
    with ServerProcess(tmp_path, arguments=("--migrate",)) as again:
        assert "migrated" not in again.output


@pytest.mark.postgres
@pytest.mark.unmeasured
async def test_a_process_goes_on_while_the_next_version_migrates_and_is_not_started_after(
    tmp_path: Path, postgres_database: Any
) -> None:
    url = postgres_database()
    with ServerProcess(tmp_path, database_url=url) as server:
        async with client_of(server) as client:
            connection = await asyncpg.connect(url)
            # As every migration so far: what it adds, the version before need not know.
            await connection.execute(
                "ALTER TABLE message ADD COLUMN next_thing INT NOT NULL DEFAULT 0;"
                "ALTER TABLE delivery ADD COLUMN next_thing TEXT;"
                "INSERT INTO tortoise_migrations (app, name, applied_at)"
                " VALUES ('almenara', '9999_next', now())"
            )
            await connection.close()
            sent = await client.post("/v1/messages", {"topic": "hello", "description": "x"})
            assert (await client.final(sent.body["id"]))["status"] == "sent"
            with ServerProcess(tmp_path, database_url=url) as late:
                assert late.wait() == 78
            assert "newer than this version of Almenara (9999_next)" in late.output
            worker = WorkerProcess(server.environ | {"ALMENARA_BROKER_URL": "amqp://127.0.0.1:1"})
            with worker:
                assert worker.wait() == 78
            assert "newer than this version of Almenara (9999_next)" in worker.output
            assert (await client.get("/readyz")).status == 200


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
@pytest.mark.parametrize("name", NAMES[1:])
def test_a_migration_takes_nothing_from_the_version_before(name: str, dialect: str) -> None:
    sql = (Path(__file__).parent / f"{name}.{dialect}.sql").read_text()
    assert not re.search(r"(?m)^(DROP|DELETE|UPDATE)\b|^ALTER .*(DROP|RENAME|ALTER|TYPE)\b", sql)
    for line in re.findall(r".*ADD COLUMN.*", sql):
        # The version before inserts rows without it.
        assert "NOT NULL" not in line or "DEFAULT" in line, line


def test_an_older_backup_is_upgraded_when_it_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def make() -> None:
        database = await open_database(make_settings(tmp_path / "old"))
        await migrate_to(database, NAMES[5])
        await fill(database)
        await database.close()

    asyncio.run(make())
    monkeypatch.setenv("ALMENARA_DATA_DIR", str(tmp_path / "new"))
    file = make_settings(tmp_path / "old").database_file
    assert run(["restore", str(file)]) == 0
    assert f"applied {', '.join(NAMES[6:])}" in capsys.readouterr().out
    with closing(sqlite3.connect(tmp_path / "new" / file.name)) as new:
        assert new.execute("SELECT title FROM message").fetchall() == [("¿Qué?",)]
