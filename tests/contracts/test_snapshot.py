"""A copy of an SQLite database that is written to meanwhile, and what is refused as none."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from almenara.cli import run
from almenara.database.snapshot import BackupError, copy_in_use, look_into
from almenara.errors import AlmenaraError, ConfigurationError
from almenara.restoring import restore
from almenara.settings import Settings
from tests.serving import make_settings
from tests.tables import make_tables

NOW = datetime(2026, 11, 29, 1, 2, 3, tzinfo=UTC)


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    one = make_settings(tmp_path)
    await make_tables(one)
    return one


@pytest.fixture
def writer(settings: Settings) -> Iterator[sqlite3.Connection]:
    """A connection that writes as the ledger does, without the rows' other columns."""
    with closing(sqlite3.connect(settings.database_file, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE filling (text)")
        connection.execute("INSERT INTO filling VALUES (zeroblob(20000000))")
        yield connection


def revision(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("SELECT revision FROM configuration").fetchone()[0])


def test_who_writes_does_not_wait_and_what_is_written_is_not_in_the_copy(
    settings: Settings, writer: sqlite3.Connection, tmp_path: Path
) -> None:
    steps = []

    def write(done: int, total: int) -> None:
        # On the same thread: a lock that the copy held would never be given back.
        writer.execute("UPDATE configuration SET revision = revision + 1")
        steps.append((done, total))

    before = revision(settings.database_file)
    copy_in_use(settings.database_file, tmp_path / "copy", tell=write)
    assert len(steps) > 5
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1][0] == steps[-1][1] == (tmp_path / "copy").stat().st_size
    assert revision(tmp_path / "copy") == before
    assert revision(settings.database_file) == before + len(steps)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy", "data"]
    assert look_into(tmp_path / "copy").migrations[0] == "0001_initial"


def test_a_copy_that_is_broken_off_holds_nothing_up(
    settings: Settings, writer: sqlite3.Connection, tmp_path: Path
) -> None:
    def stop(_: int, __: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_in_use(settings.database_file, tmp_path / "copy", tell=stop)
    [row] = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert row[0] == 0
    with pytest.raises(FileExistsError):
        copy_in_use(settings.database_file, tmp_path / "copy", tell=stop)


async def test_a_restore_keeps_the_old_database_and_what_was_in_its_log(
    settings: Settings, writer: sqlite3.Connection, tmp_path: Path
) -> None:
    copy_in_use(settings.database_file, tmp_path / "copy", tell=lambda *_: None)
    writer.execute("UPDATE configuration SET revision = 77")
    done = await restore(settings, tmp_path / "copy", now=NOW)
    assert done.kept == settings.data_dir / "before-restore-20261129T010203Z"
    assert revision(settings.database_file) == 1
    assert settings.database_file.stat().st_mode & 0o777 == 0o600
    writer.close()
    assert revision(done.kept / "almenara.sqlite3") == 77
    assert not (settings.data_dir / "restoring").exists()


async def test_a_database_that_is_damaged_can_be_replaced_and_is_kept(
    settings: Settings, tmp_path: Path
) -> None:
    copy_in_use(settings.database_file, tmp_path / "copy", tell=lambda *_: None)
    settings.database_file.write_bytes(b"nothing that SQLite could read" * 1000)
    Path(f"{settings.database_file}-wal").write_bytes(b"of its log")
    done = await restore(settings, tmp_path / "copy", now=NOW)
    assert done.kept is not None
    names = {one.name for one in done.kept.iterdir()}
    assert names >= {"almenara.sqlite3", "almenara.sqlite3-wal"}
    assert revision(settings.database_file) == 1


async def refused(settings: Settings, file: Path, kind: type[AlmenaraError]) -> str:
    """Try to restore a file, and return why it is refused; the database is as it was."""
    before = settings.database_file.read_bytes()
    with pytest.raises(kind) as caught:
        await restore(settings, file, now=NOW)
    assert settings.database_file.read_bytes() == before
    assert not (settings.data_dir / "restoring").exists()
    assert not list(settings.data_dir.glob("before-restore-*"))
    return caught.value.message


async def test_what_is_no_backup_is_refused_and_changes_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "copy"
    file.write_text("Dear diary")
    assert "damaged, or no backup" in await refused(settings, file, BackupError)
    file.write_bytes(b"")
    assert "no backup of Almenara" in await refused(settings, file, ConfigurationError)
    file.unlink()
    copy_in_use(settings.database_file, file, tell=lambda *_: None)
    whole = file.read_bytes()
    for spoilt in (whole[: len(whole) // 2], whole[:12000] + b"\xff" * 4000 + whole[16000:]):
        file.write_bytes(spoilt)
        assert "damaged" in await refused(settings, file, BackupError)
    file.write_bytes(whole)
    with closing(sqlite3.connect(file)) as copy:
        copy.execute(
            "INSERT INTO tortoise_migrations (app, name, applied_at)"
            " VALUES ('almenara', '9999_from_the_future', '2027-01-01')"
        )
        copy.commit()
    assert "newer than this version" in await refused(settings, file, ConfigurationError)
    Path(f"{file}-wal").write_bytes(b"some of it")
    assert "a database in use" in await refused(settings, file, ConfigurationError)


def test_while_a_server_runs_nothing_is_restored(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from almenara.database.lock import FileLock

    copy_in_use(settings.database_file, tmp_path / "copy", tell=lambda *_: None)
    monkeypatch.setenv("ALMENARA_DATA_DIR", str(settings.data_dir))
    lock = FileLock(settings.data_dir / "almenara.lock")
    lock.acquire()
    try:
        assert run(["restore", str(tmp_path / "copy")]) == 78
        assert "Stop it first" in capsys.readouterr().err
    finally:
        lock.release()
    assert run(["restore", str(tmp_path / "copy")]) == 0
    assert "is kept in" in capsys.readouterr().out
    assert run(["restore", str(tmp_path / "none")]) == 78
