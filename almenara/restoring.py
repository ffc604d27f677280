"""Backup and restore of SQLite where no server runs, under the lock of the data directory.

A restored database is made ready beside the old one and takes its place in one step: killed at any
moment, the one or the other is there, whole. The old one is kept.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from almenara.database import Database, open_database
from almenara.database.lock import FileLock
from almenara.database.snapshot import BackupError, Tell, copy_in_use, look_into, sync
from almenara.errors import ConfigurationError
from almenara.migrations import migrate
from almenara.models import Channel
from almenara.secrets import is_sealed, key_file, open_vault
from almenara.settings import Settings

_PIECE_BYTES = 4 * 1024 * 1024

#: What an SQLite file begins with.
_HEADER = b"SQLite format 3\0"

_ON_POSTGRES = (
    "The database is PostgreSQL (ALMENARA_DATABASE_URL): use {tool}, as docs/howto/back-up.md says."
)


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored."""

    message_count: int
    #: The migrations that brought an older schema up to date.
    applied: tuple[str, ...]
    #: The directory with the database that was there before, if there was one.
    kept: Path | None
    #: The channels whose secrets this set-up's key does not open.
    closed_channels: tuple[str, ...]


async def back_up_here(settings: Settings, target: Path, tell: Tell) -> None:
    """Copy the database of the data directory into a new file.

    Raises:
        ConfigurationError: it is PostgreSQL, or not there, or a server runs.
        BackupError: the copy failed.
    """
    if not settings.uses_sqlite:
        raise ConfigurationError(_ON_POSTGRES.format(tool="pg_dump"))
    if not settings.database_file.exists():
        raise ConfigurationError(
            f"No server answers, and there is no SQLite database {settings.database_file}: set "
            "ALMENARA_URL, or ALMENARA_DATA_DIR."
        )
    lock = FileLock(settings.data_dir / "almenara.lock")
    try:
        lock.acquire()
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error.message} Or set ALMENARA_URL to where it answers: it makes the backup itself."
        ) from error
    try:
        await asyncio.to_thread(copy_in_use, settings.database_file, target, tell=tell)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"The backup could not be made: {error}.") from error
    finally:
        lock.release()


async def restore(
    settings: Settings, file: Path, *, now: datetime, tell: Tell | None = None
) -> Restored:
    """Put a backup in the place of the database, and bring its schema up to date.

    Args:
        tell: called with how many bytes of the file were copied, and how many there are.

    Raises:
        ConfigurationError: the database is PostgreSQL, a server runs, or the file is no backup of
            Almenara, or of a newer one; nothing was changed.
        BackupError: the file is damaged, or there is no room for it; nothing was changed.
    """
    if not settings.uses_sqlite:
        raise ConfigurationError(_ON_POSTGRES.format(tool="pg_restore"))
    _check_alone(file)
    lock = FileLock(settings.data_dir / "almenara.lock")
    lock.acquire()
    draft = settings.data_dir / "restoring"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(0o700)
        beside = settings.model_copy(update={"data_dir": draft})
        await asyncio.to_thread(_copy, file, beside.database_file, tell or _tell_nobody)
        beside.database_file.chmod(0o600)
        contents = await asyncio.to_thread(look_into, beside.database_file)
        applied, closed = await _made_ready(beside, settings)
        kept = _swap(beside.database_file, settings.database_file, now)
    except OSError as error:
        raise BackupError(f"{file} could not be restored: {error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        lock.release()
    return Restored(contents.message_count, tuple(applied), kept, tuple(closed))


def _copy(file: Path, target: Path, tell: Tell) -> None:
    size, done = file.stat().st_size, 0
    with file.open("rb") as reading, target.open("wb") as writing:
        while piece := reading.read(_PIECE_BYTES):
            writing.write(piece)
            done += len(piece)
            tell(done, size)


def _tell_nobody(done: int, total: int) -> None:
    del done, total


def _check_alone(file: Path) -> None:
    """Refuse the database of a server: what it wrote last is not in the file."""
    beside = file.with_name(f"{file.name}-wal")
    if beside.exists() and beside.stat().st_size:
        raise ConfigurationError(
            f"{file} is no backup but a database in use: part of it is in {beside.name}. Make a "
            "backup of it with `almenara backup`."
        )


async def _made_ready(beside: Settings, settings: Settings) -> tuple[list[str], list[str]]:
    """Migrate the copy; return what was applied, and which channels' secrets stay closed."""
    database = await open_database(beside)
    try:
        applied = await migrate(database)
        closed = await _closed_channels(database, settings)
    finally:
        await database.close()
    sync(beside.database_file)
    return applied, closed


async def _closed_channels(database: Database, settings: Settings) -> list[str]:
    channels = await Channel.all().using_db(database.reader).order_by("name")
    sealed = [one for one in channels if any(map(is_sealed, one.settings.values()))]
    if settings.secret_key is None and not key_file(settings).exists():
        # A key made now would open nothing.
        return [one.name for one in sealed]
    vault = open_vault(settings)
    closed = []
    for channel in sealed:
        try:
            vault.open(channel.settings, place=str(channel.id))
        except ConfigurationError:
            closed.append(channel.name)
    return closed


def _swap(new: Path, place: Path, now: datetime) -> Path | None:
    """Put a file in the place of the database, and return where that is kept."""
    kept = _set_aside(place, now) if place.exists() else None
    new.replace(place)
    sync(place.parent)
    return kept


def _set_aside(place: Path, now: datetime) -> Path:
    """Give the database a second name; its own is taken over by the new one."""
    with place.open("rb") as file:
        readable = file.read(len(_HEADER)) == _HEADER
    if readable:
        # One that is not is kept with its log as it is, which SQLite would delete.
        with suppress(sqlite3.Error), closing(sqlite3.connect(place)) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = place.parent / f"before-restore-{now:%Y%m%dT%H%M%SZ}"
    kept.mkdir(0o700)
    for end in ("-wal", "-shm"):
        log = place.with_name(f"{place.name}{end}")
        if log.exists():
            log.rename(kept / log.name)
    try:
        os.link(place, kept / place.name)
    except OSError:  # a disk that knows no second names
        place.rename(kept / place.name)
    sync(kept)
    return kept
