"""Backups of SQLite while the server runs: one file, of one moment, for whoever may have it all.

The copy is made beside the database under a name that the server chooses, has lost that name before
it leaves, and so is gone with its last reader, however that ends.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

from almenara.database import Database, Transaction
from almenara.database.snapshot import copy_in_use
from almenara.errors import ConflictError, UnavailableError
from almenara.ledger import Ledger
from almenara.telemetry import get_logger
from almenara.trail import Action, Trace, leave

log = get_logger("backups")

#: So much of the disk must be left for what is accepted meanwhile, in bytes.
_ROOM_LEFT = 64 * 1024 * 1024


class _StoppedError(Exception):
    """Nobody waits for the copy any more."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that is ready; whoever takes it closes the file."""

    file: BinaryIO
    #: In bytes.
    size: int
    message_count: int


class Backups:
    """Makes copies of the database, one at a time.

    Args:
        source: the SQLite file.
    """

    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        source: Path,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._source = source
        self._draft = source.with_name("backup.part")
        self._clock = clock
        self._making = asyncio.Lock()

    def tidy(self) -> None:
        """Take away what a process left that was killed in the middle."""
        if self._database.dialect == "sqlite":
            self._forget()

    async def take(self, *, by: str | None) -> Copy:
        """Make a copy; it holds all that was answered before this was called.

        Raises:
            ConflictError: the database is PostgreSQL, which has its own tools.
            UnavailableError: another one is being made, the disk has no room, or the copy failed.
        """
        if self._database.dialect != "sqlite":
            raise ConflictError(
                "PostgreSQL makes its own backups, while the servers run: `pg_dump --format=custom "
                "--file=FILE`, and `pg_restore`; see docs/howto/back-up.md.",
                code="backup_elsewhere",
            )
        if self._making.locked():
            raise UnavailableError(
                "A backup is being made already; try again when it is done.", retry_after_seconds=5
            )
        async with self._making:
            await self._ledger.run(partial(self._leave_trace, by=by))
            return await self._copied()

    async def _leave_trace(self, transaction: Transaction, *, by: str | None) -> None:
        trace = Trace(Action.BACKUP_TAKEN, "database")
        await leave(transaction, trace, by=by, at=self._clock())

    async def _copied(self) -> Copy:
        """Copy in a thread, which ends soon after nobody waits for it any more."""
        stopped = threading.Event()
        try:
            copy = await asyncio.to_thread(self._copy, stopped)
        except (OSError, sqlite3.Error) as error:
            log.warning("backup_failed", reason=str(error)[:200])
            raise UnavailableError(f"The backup could not be made: {error}.") from error
        finally:
            stopped.set()
        log.info("backup_taken", bytes=copy.size, message_count=copy.message_count)
        return copy

    def _copy(self, stopped: threading.Event) -> Copy:
        self._forget()
        self._check_room()

        def tell(_: int, __: int) -> None:
            if stopped.is_set():
                raise _StoppedError

        try:
            count = copy_in_use(self._source, self._draft, tell=tell)
            file = self._draft.open("rb")
        finally:
            self._forget()
        return Copy(file, size=file.seek(0, 2), message_count=count)

    def _check_room(self) -> None:
        log_file = self._source.with_name(f"{self._source.name}-wal")
        needed = self._source.stat().st_size + _ROOM_LEFT
        needed += log_file.stat().st_size if log_file.exists() else 0
        free = shutil.disk_usage(self._source.parent).free
        if free < needed:
            raise UnavailableError(
                f"There is no room for a copy beside the database: it needs {needed:,} bytes, and "
                f"{free:,} are free.",
                retry_after_seconds=60,
            )

    def _forget(self) -> None:
        for path in (self._draft, self._draft.with_name(f"{self._draft.name}-journal")):
            path.unlink(missing_ok=True)
