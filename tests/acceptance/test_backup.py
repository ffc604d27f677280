"""Backup and restore of SQLite: under load, of what is under way, and of what is no backup."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from almenara.cli import run
from almenara.restoring import Restored, restore
from almenara.settings import Settings
from almenara.testing import Answer as HttpAnswer
from almenara.testing import FakeService
from tests.acceptance.test_crash import client_of, make_sink, send_until_it_dies
from tests.processes import ServerProcess
from tests.serving import Client, make_settings, served, until
from tests.tokens import ISSUER, SECRET, bearer, token

#: Large enough that the copy takes many steps.
_FILLING = "x" * 200_000
_FILLERS = 30


async def typed(*arguments: str) -> int:
    """Run a command in this process, and return what it ends with."""
    return await asyncio.to_thread(run, arguments)


def backup_by_process(server: ServerProcess, file: Path) -> subprocess.CompletedProcess[str]:
    """Make a backup as an operator does."""
    return subprocess.run(
        [sys.executable, "-m", "almenara", "backup", str(file), "--json"],
        env=server.environ | {"ALMENARA_URL": server.url, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def stored(file: Path) -> set[str]:
    """Return the messages in a file, which is whole in itself."""
    with closing(sqlite3.connect(file)) as copy:
        assert copy.execute("PRAGMA foreign_key_check").fetchall() == []
        [[alone]] = copy.execute(
            "SELECT count(*) FROM message WHERE id NOT IN (SELECT message_id FROM delivery)"
        )
        assert alone == 0
        return {one for (one,) in copy.execute("SELECT id FROM message")}


async def under_way(client: Client, receiver: FakeService) -> str:
    """Hand in a message, and return its id once its channel is at it."""
    await make_sink(client, receiver.url)
    answer = await client.post("/v1/messages", {"channel": "sink", "description": "slow"})

    async def look() -> bool:
        return bool(receiver.received)

    await until(look)
    return str(answer.body["id"])


async def restored(settings: Settings, file: Path, key: Path) -> Restored:
    """Restore into a directory that has nothing but the key."""
    settings.data_dir.mkdir(parents=True)
    (settings.data_dir / key.name).write_bytes(key.read_bytes())
    return await restore(settings, file, now=datetime.now(UTC))


@pytest.mark.unmeasured
@pytest.mark.timeout(180)
async def test_under_load_a_backup_holds_all_that_was_answered(tmp_path: Path) -> None:
    file = tmp_path / "monday.sqlite3"
    old, new = make_settings(tmp_path / "old"), make_settings(tmp_path / "new")
    accepted: list[str] = []
    with FakeService() as receiver, ServerProcess(tmp_path / "old") as server:
        async with client_of(server) as client:
            await make_sink(client, receiver.url)
            for _ in range(_FILLERS):
                body = {"topic": "hello", "description": _FILLING}
                accepted.append((await client.post("/v1/messages", body)).body["id"])
            senders = [
                asyncio.create_task(send_until_it_dies(client, str(number), accepted))
                for number in range(4)
            ]
            await until(lambda: _more(accepted, _FILLERS + 4))
            before = set(accepted)
            done = await asyncio.to_thread(backup_by_process, server, file)
            assert done.returncode == 0, done.stderr
            await until(lambda: _more(accepted, len(before)))
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)
        assert not (old.data_dir / "backup.part").exists()
    told = json.loads(done.stdout)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == [file.name]
    in_file = stored(file)
    assert before <= in_file
    assert (told["messages"], told["bytes"]) == (len(in_file), file.stat().st_size)
    facts = await restored(new, file, old.data_dir / "secret.key")
    assert facts == Restored(len(in_file), applied=(), kept=None, closed_channels=())
    assert stored(new.database_file) == in_file


async def test_what_was_under_way_is_unknown_in_the_restored_log_and_tried_again(
    tmp_path: Path,
) -> None:
    file = tmp_path / "copy.sqlite3"
    old, new = make_settings(tmp_path / "old"), make_settings(tmp_path / "new")
    go_on = threading.Event()

    def wait(_: object) -> HttpAnswer:
        go_on.wait(30)
        return HttpAnswer(200)

    with FakeService(wait) as receiver:
        async with served(old) as client:
            slow = await under_way(client, receiver)
            copy = await client.parts.backups.take(by=None)
            with copy.file as opened:
                opened.seek(0)
                file.write_bytes(opened.read())
            go_on.set()
        facts = await restored(new, file, old.data_dir / "secret.key")
        assert facts.message_count == copy.message_count == 1
        async with served(new) as client:
            story = await client.final(slow)
            outcomes = [one["outcome"] for one in story["deliveries"][0]["attempts"]]
            assert outcomes == ["unknown", "sent"]
            again = await client.post("/v1/messages", {"channel": "sink", "description": "new"})
            assert (await client.final(again.body["id"]))["status"] == "sent"


async def _more(accepted: list[str], count: int) -> bool:
    return len(accepted) > count


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of commands that are run here; no server answers at the usual address."""
    monkeypatch.chdir(tmp_path)
    settings = make_settings(tmp_path)
    monkeypatch.setenv("ALMENARA_DATA_DIR", str(settings.data_dir))
    monkeypatch.delenv("ALMENARA_URL", raising=False)
    monkeypatch.setattr("almenara.client.address.DEFAULT_URL", "http://127.0.0.1:9")
    return settings


async def test_where_no_server_runs_the_file_itself_is_copied(
    here: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(here) as client:
        sent = await client.post("/v1/messages", {"topic": "hello", "description": "x"})
        await client.final(sent.body["id"])
        assert await typed("backup", "copy.sqlite3") == 78
        assert "ALMENARA_URL" in capsys.readouterr().err
    assert await typed("backup", "copy.sqlite3") == 0
    told = capsys.readouterr()
    assert "Backed up 1 messages" in told.out
    assert "secret.key" in told.err
    assert stored(Path("copy.sqlite3")) == {sent.body["id"]}
    assert await typed("backup", "copy.sqlite3") == 1
    assert "is there already" in capsys.readouterr().err
    assert await typed("backup", "copy.sqlite3", "--force") == 0
    monkeypatch.setenv("ALMENARA_URL", "http://127.0.0.1:9")
    assert await typed("backup", "b.sqlite3") == 69
    assert {one.name for one in Path().iterdir()} == {"data", "copy.sqlite3"}


async def test_where_there_is_nothing_to_copy_nothing_is_made(
    here: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await typed("backup", "copy.sqlite3") == 78
    assert "there is no SQLite database" in capsys.readouterr().err
    assert list(here.data_dir.parent.iterdir()) == []
    assert await typed("backup", "no/such/place.sqlite3") == 78
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "tool"), [("backup", "pg_dump"), ("restore", "pg_restore")])
@pytest.mark.usefixtures("here")
async def test_on_postgresql_the_commands_name_the_tools_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, tool: str
) -> None:
    monkeypatch.setenv("ALMENARA_DATABASE_URL", "postgres://127.0.0.1:1/none")
    Path("there").touch()
    assert await typed(name, "there" if name == "restore" else "new") == 78
    assert tool in capsys.readouterr().err


@pytest.mark.postgres
async def test_a_server_on_postgresql_says_who_makes_its_backups(
    tmp_path: Path, postgres_database: Any
) -> None:
    async with served(make_settings(tmp_path, postgres_database())) as client:
        answer = await client.post("/v1/backups")
        assert (answer.status, answer.body["code"]) == (409, "backup_elsewhere")
        assert "pg_dump" in answer.body["detail"]


async def test_a_backup_needs_a_scope_of_its_own_and_is_told_in_the_audit(tmp_path: Path) -> None:
    async with served(make_settings(tmp_path, jwt_issuer=ISSUER, jwt_secret=SECRET)) as client:
        for claims in ({"scope": "admin:read"}, {"scope": "admin:backup", "topics": ["hello"]}):
            refused = await client.post("/v1/backups", headers=bearer(token(**claims)))
            assert refused.status == 403
        keeper = bearer(token(scope="admin:backup", sub="nightly"))
        taken = await client.post("/v1/backups", headers=keeper)
        assert taken.status == 200
        assert taken.headers["Backup-Message-Count"] == "0"
        [entry, *_] = (await client.get("/v1/audit", headers=bearer(token()))).body["data"]
        assert (entry["subject"], entry["action"]) == ("nightly", "backup.taken")
        assert entry["object"] == "backup/database"


async def test_two_backups_at_once_are_made_one_after_the_other(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    async with served(settings) as client:
        answers = await asyncio.gather(*(client.post("/v1/backups") for _ in range(4)))
        statuses = sorted(one.status for one in answers)
        assert statuses[0] == 200
        assert set(statuses) <= {200, 503}
        assert (await client.post("/v1/backups")).status == 200
        leftover = settings.data_dir / "backup.part"
        leftover.write_text("of a server that was killed")
        assert (await client.post("/v1/backups")).status == 200
        leftover.write_text("of a server that was killed")
    async with served(settings):
        assert not leftover.exists()
