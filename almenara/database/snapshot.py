"""A copy of an SQLite database that is in use, and a look into such a copy.

It is read on a connection of its own in one read transaction, so it is the database of one moment,
however much is written meanwhile. Nobody who writes waits for it; the write-ahead log alone grows
by what is written, as it cannot begin anew before the copy ends.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from almenara.errors import AlmenaraError, ConfigurationError

#: So many pages are copied in one step, mostly of 4 KiB.
_PAGES_AT_ONCE = 512
#: After a step nothing is done for as long as it took, but not for longer, in seconds.
_LONGEST_PAUSE = 0.05

#: Called with how many bytes are copied, and how many there are.
Tell = Callable[[int, int], None]


class BackupError(AlmenaraError):
    """The backup could not be made, or is not whole."""

    code = "backup_failed"


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a copy."""

    message_count: int
    #: The migrations of its schema, the oldest first.
    migrations: tuple[str, ...]


def copy_in_use(source: Path, target: Path, *, tell: Tell) -> int:
    """Copy a database that is in use into a new file, and return how many messages that holds.

    The new file is one file, readable by its owner alone. Raising in ``tell`` ends the copy.

    Raises:
        OSError: the new file cannot be made, or is there already.
        sqlite3.Error: it cannot be read, or written.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(_read_only(source)) as reading, closing(sqlite3.connect(target)) as writing:
        reading.execute("BEGIN")
        # The first statement that reads is the moment that is copied.
        [[count]] = reading.execute("SELECT count(*) FROM message")
        [[page_bytes]] = reading.execute("PRAGMA page_size")
        begun = time.monotonic()

        def pause(_: int, remaining: int, total: int) -> None:
            nonlocal begun
            tell((total - remaining) * page_bytes, total * page_bytes)
            time.sleep(min(time.monotonic() - begun, _LONGEST_PAUSE))
            begun = time.monotonic()

        # It is thrown away unless it is whole: synced once, by whoever keeps it.
        writing.execute("PRAGMA synchronous = OFF")
        reading.backup(writing, pages=_PAGES_AT_ONCE, progress=pause)
        # The copy says of itself that it has a write-ahead log, and is to be one file.
        writing.execute("PRAGMA journal_mode = DELETE")
    return int(count)


def look_into(path: Path) -> Contents:
    """Check every page of a database that nobody uses, and say what is in it.

    Raises:
        ConfigurationError: it is none of Almenara's.
        BackupError: it is damaged.
    """
    try:
        with closing(_read_only(path)) as reading:
            [[first], *_] = reading.execute("PRAGMA integrity_check(1)")
            if first != "ok":
                raise BackupError(f"The file {path} is damaged: {first}.")
            rows = reading.execute(
                "SELECT name FROM tortoise_migrations WHERE app = 'almenara' ORDER BY name"
            )
            names = tuple(name for (name,) in rows)
            [[count]] = reading.execute("SELECT count(*) FROM message")
    except sqlite3.OperationalError as error:
        raise ConfigurationError(f"The file {path} is no backup of Almenara: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise BackupError(
            f"The file {path} is damaged, or no backup of Almenara: {error}."
        ) from error
    if not names:
        raise ConfigurationError(f"The file {path} is no backup of Almenara: it has no schema.")
    return Contents(int(count), names)


def sync(path: Path) -> None:
    """Bring a file or a directory to the disk.

    Raises:
        OSError: it cannot be.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_only(path: Path) -> sqlite3.Connection:
    """Open a database without ever writing to it, nor bringing its log into it."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
