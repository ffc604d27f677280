"""Finds which messages are new or have changed since the last look, whichever process did it.

Ids are in the order of time, so what is new stands at the end of a primary key: messages,
deliveries, attempts, and the traces that operators leave. All else, such as a claim or an expiry,
moves a delivery that waits or is being sent; the newest of those are looked at one by one. No look
costs more because the log is long, and there is no index that is only for this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from almenara.database import Database, Row, Transaction, read_id
from almenara.deliveries import Status
from almenara.models import lowest_id

#: An id may be this much older than its commit, or its process's clock behind.
OVERLAP: Final = timedelta(seconds=10)
#: A look reads so many new rows of a table.
MOST_NEW: Final = 2_000
#: So many deliveries that wait or are being sent are watched, the newest.
MOST_WATCHED: Final = 1_000
#: A look tells so many changes.
MOST_TOLD: Final = 500

_STATE = "delivery.id, delivery.message_id, delivery.status, delivery.attempt_number"
#: What is new, by table; the newest first.
NEW: Final = {
    "message": "SELECT id FROM message WHERE id > $1 ORDER BY id DESC LIMIT $2",
    "delivery": f"SELECT {_STATE} FROM delivery WHERE id > $1 ORDER BY id DESC LIMIT $2",
    "attempt": "SELECT id, message_id FROM attempt WHERE id > $1 ORDER BY id DESC LIMIT $2",
    "audit": "SELECT id, object FROM audit WHERE id > $1 ORDER BY id DESC LIMIT $2",
}
#: What is not final, by status; the newest first.
OPEN: Final = f"SELECT {_STATE} FROM delivery WHERE status = $1 ORDER BY id DESC LIMIT $2"
#: Where those stand that are watched.
WATCHED: Final = f"SELECT {_STATE} FROM {{source}} JOIN delivery ON delivery.id = v.id"

_OPEN_STATUSES = (Status.PENDING, Status.SENDING, Status.HELD)


@dataclass(frozen=True, slots=True)
class Found:
    """What one look found."""

    #: Of messages, the oldest first.
    ids: Sequence[UUID]
    #: Whether there was more than a look tells.
    left_out: bool = False


class Changes:
    """Remembers what was seen, from look to look."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._since = clock()
        #: By table, the ids of rows that are young enough to be read once more.
        self._seen: dict[str, set[object]] = {table: set() for table in NEW}
        #: By id, as the database has it, where each delivery that is watched stood; ``None``: not
        #: known. To make ids of them all costs more than to read them.
        self._watched: dict[Any, tuple[str, int] | None] = {}

    async def begin(self) -> None:
        """Take all that is there by now for seen."""
        for status in _OPEN_STATUSES:
            for row in await self._database.fetch(OPEN, status.value, MOST_WATCHED):
                self._watched[row["id"]] = _state(row)
        await self.look()

    async def look(self) -> Found:
        """Return the messages that are new, or that have changed since the last look."""
        began = self._clock()
        lowest = lowest_id(self._since - OVERLAP)
        read = {
            table: await self._database.fetch(statement, lowest, MOST_NEW)
            for table, statement in NEW.items()
        }
        changed = set(await self._moved())
        # From here on nothing waits, so that what was read is either all seen or not at all.
        left_out = any(self._overflows(table, rows) for table, rows in read.items())
        for table, rows in read.items():
            for row in self._fresh(table, rows):
                changed.update(self._messages_of(table, row))
        self._since = max(began, self._since)
        ids = sorted(changed)
        return Found(ids[-MOST_TOLD:], left_out or len(ids) > MOST_TOLD)

    def _overflows(self, table: str, rows: Sequence[Row]) -> bool:
        """Tell whether there may be more new rows than were read."""
        return len(rows) == MOST_NEW and rows[-1]["id"] not in self._seen[table]

    def _fresh(self, table: str, rows: Sequence[Row]) -> list[Row]:
        seen = self._seen[table]
        # What was not read now is too old to be read again.
        self._seen[table] = {row["id"] for row in rows}
        return [row for row in rows if row["id"] not in seen]

    def _messages_of(self, table: str, row: Row) -> Iterable[UUID]:
        """Return the message that a new row is about, and watch what may move."""
        if table == "audit":
            kind, _, thing = row["object"].partition("/")
            if kind == "delivery":
                known = thing if self._database.dialect == "sqlite" else UUID(thing)
                self._watched.setdefault(known, None)
            return [UUID(thing)] if kind == "message" else []
        if table == "delivery" and row["status"] in _OPEN_STATUSES:
            self._watched.setdefault(row["id"], _state(row))
        return [read_id(row["id" if table == "message" else "message_id"])]

    async def _moved(self) -> list[UUID]:
        """Return the messages whose watched deliveries have moved."""
        for oldest in sorted(self._watched)[: max(0, len(self._watched) - MOST_WATCHED)]:
            del self._watched[oldest]
        if not self._watched:
            return []
        reader = Transaction(self._database.reader, self._database.dialect)
        source, values = reader.rows({"id": "uuid"}, [(one,) for one in self._watched])
        rows = await reader.fetch(WATCHED.format(source=source), *values)
        before = self._watched
        self._watched = {row["id"]: _state(row) for row in rows if row["status"] in _OPEN_STATUSES}
        return [read_id(row["message_id"]) for row in rows if before[row["id"]] != _state(row)]


def _state(row: Row) -> tuple[str, int]:
    return row["status"], row["attempt_number"]
