"""What a set-up stands on: room on the disk, the time, the versions of what is not ours."""

from __future__ import annotations

import platform
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from almenara.database import Database, read_timestamp
from almenara.settings import Settings

Level = Literal["ok", "warning", "error"]

#: Below either of the two there is too little room: in bytes, and as a part of the disk.
_LEAST_ROOM, _LEAST_PART = 1 << 30, 0.05
#: Clocks may differ by so much; a reading of another one takes a moment itself.
_CLOCKS_APART = timedelta(seconds=2)
#: The first SQLite in which two connections that checkpoint cannot damage the log.
_CURED_SQLITE = (3, 51, 3)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    #: What was looked at, such as ``database`` or ``channel team-slack``.
    subject: str
    level: Level
    #: What is so, and what to do about it.
    message: str


def look_at_disk(settings: Settings) -> list[Finding]:
    """See whether the data directory has room; on PostgreSQL nothing of ours grows here."""
    if not settings.uses_sqlite:
        return []
    usage = shutil.disk_usage(_existing(settings.data_dir))
    sentence = (
        f"{usage.free / (1 << 30):.1f} GiB ({usage.free / usage.total:.0%}) of the disk with "
        f"{settings.data_dir} are free"
    )
    if usage.free >= _LEAST_ROOM and usage.free >= _LEAST_PART * usage.total:
        return [Finding("disk", "ok", f"{sentence}.")]
    advice = (
        "on a full disk nothing is accepted. Make room, keep less (ALMENARA_RETENTION_DAYS), or "
        "move ALMENARA_DATA_DIR."
    )
    return [Finding("disk", "warning", f"{sentence}: {advice}")]


async def look_at_clock(
    database: Database, clock: Callable[[], datetime], *, has_tables: bool
) -> Finding:
    """Compare this machine's clock: with PostgreSQL's, or on SQLite with the log's newest entry."""
    if database.dialect == "postgres":
        before = clock()
        [row] = await database.fetch("SELECT clock_timestamp() AS at")
        there, after = read_timestamp(row["at"]), clock()
        apart = max(before - there, there - after, timedelta())
        if apart <= _CLOCKS_APART:
            return Finding("clock", "ok", "It agrees with PostgreSQL's.")
        sentence = f"It differs from PostgreSQL's by {apart.total_seconds():.0f} s"
        advice = "processes share due times and leases. Set both machines' clocks by NTP."
        return Finding("clock", "warning", f"{sentence}: {advice}")
    newest = None
    if has_tables:
        rows = await database.fetch("SELECT created_at FROM message ORDER BY id DESC LIMIT 1")
        newest = read_timestamp(rows[0]["created_at"]) if rows else None
    now = clock()
    if newest is None or newest <= now + _CLOCKS_APART:
        return Finding("clock", "ok", f"It is {now:%Y-%m-%d %H:%M:%S} UTC.")
    sentence = (
        f"It is {now:%Y-%m-%d %H:%M:%S} UTC here, before the newest message of "
        f"{newest:%Y-%m-%d %H:%M:%S}"
    )
    advice = "what is due would wait. Set the clock by NTP before serving."
    return Finding("clock", "warning", f"{sentence}: {advice}")


async def look_at_versions(database: Database) -> Finding:
    """Name what Almenara runs on; what is too old is refused before."""
    python = f"Python {platform.python_version()}"
    if database.dialect == "postgres":
        [row] = await database.fetch("SELECT current_setting('server_version') AS text")
        return Finding("versions", "ok", f"{python}, PostgreSQL {row['text']}.")
    sentence = f"{python}, SQLite {sqlite3.sqlite_version}."
    if sqlite3.sqlite_version_info < _CURED_SQLITE:
        cured = ".".join(map(str, _CURED_SQLITE))
        sentence += (
            f" Before {cured} two programs that write to one database can damage it: while the "
            "server runs, open its file with no other, and copy it with `almenara backup` alone."
        )
    return Finding("versions", "ok", sentence)


def _existing(path: Path) -> Path:
    """Return the nearest directory that is there: the data directory is made at the first start."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
