"""`almenara copy-database`: from SQLite to PostgreSQL, all of it or nothing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tortoise.models import Model

import almenara.models
from almenara.copying import NOT_COPIED, TABLES, copy_database
from almenara.settings import Settings, read_settings
from almenara.testing import FakeService
from tests.acceptance.test_crash import client_of
from tests.processes import ServerProcess
from tests.serving import SECRET_KEY, make_settings

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]

Databases = Callable[..., str]

OTHER_KEY = "b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgISE="


def run_copy(directory: Path, url: str | None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command as an operator does."""
    return subprocess.run(
        [sys.executable, "-m", "almenara", "copy-database"],
        env={name: text for name, text in os.environ.items() if not name.startswith("ALMENARA_")}
        | {"ALMENARA_DATA_DIR": str(directory / "data"), "ALMENARA_SECRET_KEY": SECRET_KEY}
        | ({} if url is None else {"ALMENARA_DATABASE_URL": url})
        | environ,
        capture_output=True,
        text=True,
        check=False,
    )


async def used(directory: Path, receiver: FakeService) -> list[Any]:
    """Serve on SQLite, and return the stories of what was sent and of what waits."""
    with ServerProcess(directory, environ={"ALMENARA_SECRET_KEY": SECRET_KEY}) as server:
        async with client_of(server) as client:
            hook = {"plugin": "Webhook", "settings": {"url": f"{receiver.url}/a-secret-place"}}
            await client.call("PUT", "/v1/channels/hook", hook)
            step = {"channel": "hook", "condition": {"priority": {"at_most": 2}}}
            await client.call("PUT", "/v1/topics/sales", {"channels": ["hook"]})
            await client.call("PUT", "/v1/topics/urgent", {"channels": [step]})
            later = (datetime.now(UTC) + timedelta(days=300)).isoformat()
            messages: list[dict[str, object]] = [
                {"description": "¿Qué? 🎉", "data": {"b": 1.50, "a": [1e3, None, {"é": "ñ"}]}},
                {"description": "later", "send_at": later, "tags": ["x"]},
            ]
            stories = []
            for number, message in enumerate(messages):
                key = {"Idempotency-Key": f"key-{number}"}
                sent = await client.post("/v1/messages", {"topic": "sales", **message}, headers=key)
                assert sent.status == 202, sent.text
                stories.append(sent.body["id"])
            await client.final(stories[0])
            return [(await client.get(f"/v1/messages/{one}")).body for one in stories]


async def test_everything_is_there_afterwards_and_goes_on(
    tmp_path: Path, postgres_database: Databases
) -> None:
    url = postgres_database()
    with FakeService() as receiver:
        stories = await used(tmp_path, receiver)
        done = run_copy(tmp_path, url)
        assert done.returncode == 0, done.stderr
        counts = dict(line.split() for line in done.stdout.splitlines()[:-1])
        assert (counts["message"], counts["delivery"], counts["attempt"]) == ("2", "2", "1")
        assert "found to be the same" in done.stdout
        with ServerProcess(tmp_path, database_url=url) as server:
            async with client_of(server) as client:
                after = [(await client.get(f"/v1/messages/{one['id']}")).body for one in stories]
                assert after == stories
                again = await client.post("/v1/messages", {"topic": "sales", "description": "more"})
                assert (await client.final(again.body["id"]))["status"] == "sent"
                topic = await client.get("/v1/topics/urgent")
                assert topic.body["channels"][0]["condition"] == {"priority": {"at_most": 2}}
    assert [one.target for one in receiver.received] == ["/a-secret-place"] * 2
    assert "a-secret-place" not in done.stdout + done.stderr


@pytest.mark.unmeasured
async def test_a_copy_that_is_broken_off_leaves_nothing_and_may_be_repeated(
    tmp_path: Path, postgres_database: Databases
) -> None:
    url = postgres_database()
    with FakeService() as receiver:
        await used(tmp_path, receiver)
    settings = read_settings(
        {
            "ALMENARA_DATA_DIR": str(tmp_path / "data"),
            "ALMENARA_DATABASE_URL": url,
            "ALMENARA_SECRET_KEY": SECRET_KEY,
        }
    )

    def break_off(table: str, copied: int, _: int) -> None:
        if table == "attempt" and copied:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await copy_database(settings, break_off)
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT count(*) FROM message") == 0
    await connection.close()
    copied = await copy_database(settings, lambda *_: None)
    assert {one.name: one.row_count for one in copied}["message"] == 2


@pytest.mark.unmeasured
async def test_a_database_that_is_not_empty_is_left_alone(
    tmp_path: Path, postgres_database: Databases
) -> None:
    url = postgres_database()
    with FakeService() as receiver:
        await used(tmp_path, receiver)
    assert run_copy(tmp_path, url).returncode == 0
    again = run_copy(tmp_path, url)
    assert again.returncode == 78
    assert "The PostgreSQL database is not empty: there are rows in channel." in again.stderr
    assert again.stderr.count("\n") == 1


@pytest.mark.unmeasured
async def test_a_server_that_runs_is_in_the_way(
    tmp_path: Path, postgres_database: Databases
) -> None:
    url = postgres_database()
    with ServerProcess(tmp_path, environ={"ALMENARA_SECRET_KEY": SECRET_KEY}) as server:
        done = run_copy(tmp_path, url)
    assert done.returncode == 78
    assert str(server.pid) in done.stderr


async def test_a_key_that_does_not_open_the_secrets_is_named(
    tmp_path: Path, postgres_database: Databases
) -> None:
    url = postgres_database()
    with FakeService() as receiver:
        await used(tmp_path, receiver)
    done = run_copy(tmp_path, url, ALMENARA_SECRET_KEY=OTHER_KEY)
    assert done.returncode == 78
    assert "ALMENARA_SECRET_KEY does not open the secrets of the channel hook" in done.stderr
    assert "secret.key" in done.stderr


async def test_a_row_that_postgresql_cannot_hold_is_told_and_nothing_is_kept(
    tmp_path: Path, postgres_database: Databases
) -> None:
    url = postgres_database()
    with FakeService() as receiver:
        await used(tmp_path, receiver)
    with sqlite3.connect(tmp_path / "data" / "almenara.sqlite3") as old:
        old.execute("UPDATE message SET description = 'a' || char(0) || 'b'")
    done = run_copy(tmp_path, url)
    assert done.returncode == 78
    assert "A row of message, after the first 0, cannot be stored in PostgreSQL" in done.stderr
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT count(*) FROM channel") == 0
    await connection.close()


def _unset(settings: Settings) -> None:
    """Leave everything out."""


def _older(settings: Settings) -> None:
    settings.data_dir.mkdir(parents=True)
    sqlite3.connect(settings.database_file).close()


@pytest.mark.parametrize(
    ("prepare", "named", "words"),
    [
        (_unset, False, "Set ALMENARA_DATABASE_URL to the PostgreSQL database"),
        (_unset, True, "There is no SQLite database"),
        (_older, True, "schema is older than this version"),
    ],
)
def test_what_cannot_be_copied_is_one_sentence(
    tmp_path: Path,
    postgres_database: Databases,
    prepare: Callable[[Settings], None],
    named: bool,
    words: str,
) -> None:
    prepare(make_settings(tmp_path))
    done = run_copy(tmp_path, postgres_database() if named else None)
    assert done.returncode == 78
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_every_table_is_copied() -> None:
    models = {getattr(almenara.models, name) for name in almenara.models.__all__}
    tables = {one for one in models if isinstance(one, type) and issubclass(one, Model)}
    assert {*TABLES, *NOT_COPIED} == tables
