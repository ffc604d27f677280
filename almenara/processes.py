"""The processes that share a database, and which plugins each of them runs.

On SQLite there is one process, and nothing is written. On PostgreSQL each has a row, renewed while
it lives; the row of one that was killed counts no longer after :data:`SILENT`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from almenara import __version__
from almenara.database import Database, Row, read_id, read_timestamp
from almenara.models import new_id
from almenara.telemetry import process_name

#: What a process is there for.
Role = Literal["server", "worker"]

#: A process renews its row so often, in seconds.
REPORT_SECONDS = 10.0
#: One that was silent for so long is not reckoned with.
SILENT = timedelta(seconds=45)
#: After so long its row is deleted.
_FORGOTTEN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Process:
    """A process, as it reported itself."""

    id: UUID
    #: Such as ``4711@worker-1``.
    name: str
    role: Role
    #: Of Almenara; ``None``: an older one, which did not say.
    version: str | None
    started_at: datetime
    seen_at: datetime
    #: The revision of each plugin that it runs, by qualified name.
    revisions: Mapping[str, str]
    #: The reason of each that it has broken, by qualified name, or by directory.
    broken: Mapping[str, str]

    @property
    def pid(self) -> int:
        """Its number on its machine."""
        return int(self.name.partition("@")[0])

    @property
    def host(self) -> str:
        """The name of its machine, or container."""
        return self.name.partition("@")[2]


class Processes:
    """Reports this process, and reads what the others reported."""

    def __init__(self, database: Database, *, role: Role, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._role = role
        self._clock = clock
        self._id = new_id()
        self._started_at = clock()
        #: Only one process can open SQLite.
        self._alone = database.dialect == "sqlite"

    async def report(self, revisions: Mapping[str, str], broken: Mapping[str, str]) -> None:
        """Write what this process runs, and that it lives.

        Raises:
            Exception: whatever the database raises; the next report makes up for it.
        """
        if self._alone:
            return
        now = self._clock()
        async with self._database.transaction() as transaction:
            await transaction.execute(
                "INSERT INTO process"
                " (id, name, role, version, revisions, broken, started_at, seen_at)"
                " VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7, $8)"
                " ON CONFLICT (id) DO UPDATE SET revisions = excluded.revisions,"
                " broken = excluded.broken, seen_at = excluded.seen_at",
                *(self._id, process_name(), self._role, __version__),
                *(json.dumps(dict(revisions)), json.dumps(dict(broken)), self._started_at, now),
            )
            await transaction.execute("DELETE FROM process WHERE seen_at < $1", now - _FORGOTTEN)

    async def leave(self) -> None:
        """Take this process's row away.

        Raises:
            Exception: whatever the database raises; the row grows old then.
        """
        if self._alone:
            return
        async with self._database.transaction() as transaction:
            await transaction.execute("DELETE FROM process WHERE id = $1", self._id)

    async def others(self) -> list[Process]:
        """Return every other process that lives, by name."""
        found = [one for one in await self.everyone() if one.id != self._id and self.lives(one)]
        return sorted(found, key=lambda one: (one.name, one.id))

    async def everyone(self) -> list[Process]:
        """Return every process, this one included, and those that are silent, by their start."""
        if self._alone:
            return [self._itself()]
        rows = await self._database.fetch("SELECT * FROM process ORDER BY started_at, id")
        return [_process(row) for row in rows]

    def lives(self, process: Process) -> bool:
        """Tell whether a process is to be reckoned with."""
        return process.seen_at > self._clock() - SILENT

    def _itself(self) -> Process:
        now = self._clock()
        return Process(
            id=self._id,
            name=process_name(),
            role=self._role,
            version=__version__,
            started_at=self._started_at,
            seen_at=now,
            revisions={},
            broken={},
        )


def _process(row: Row) -> Process:
    return Process(
        id=read_id(row["id"]),
        name=row["name"],
        role=row["role"],
        version=row["version"],
        started_at=read_timestamp(row["started_at"]),
        seen_at=read_timestamp(row["seen_at"]),
        revisions=_object(row["revisions"]),
        broken=_object(row["broken"]),
    )


def _object(written: str | None) -> Mapping[str, str]:
    """Read an object of JSON; another version of Almenara may have left it out."""
    return dict(json.loads(written)) if written else {}
