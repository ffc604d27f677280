"""One open transaction, in one dialect of SQL for both databases.

Statements are written with PostgreSQL's numbered parameters (``$1``). Many rows go into one
statement through :meth:`Transaction.rows`: ``UNNEST`` on PostgreSQL, ``json_each`` on SQLite.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

from tortoise.backends.base.client import BaseDBAsyncClient

from almenara.news import News

Dialect = Literal["sqlite", "postgres"]
Row = dict[str, Any]

#: The types that a column of :meth:`Transaction.rows` may have, as PostgreSQL names them.
ColumnType = Literal["uuid", "text", "timestamptz", "integer", "jsonb", "boolean"]


class Transaction:
    """What may be done inside one transaction; commit and roll-back belong to whoever opened it."""

    def __init__(self, client: BaseDBAsyncClient, dialect: Dialect) -> None:
        #: For Tortoise models: ``using_db=transaction.client``.
        self.client = client
        self.dialect = dialect
        #: What happened in it that the router has to tell, see ``news.py``.
        self.news: list[News] = []

    async def execute(self, sql: str, *values: object) -> int:
        """Run one statement and return the number of rows that an UPDATE or DELETE changed."""
        count, _ = await self.client.execute_query(self._words(sql), self._values(values))
        return count

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        """Run one statement and return its rows, those of ``RETURNING`` included."""
        return await self.client.execute_query_dict(self._words(sql), self._values(values))

    async def insert(
        self,
        table: str,
        columns: Mapping[str, ColumnType],
        rows: Sequence[Sequence[object]],
        *,
        computed: Mapping[str, str] | None = None,
    ) -> None:
        """Insert many rows by one statement; the values stand in the order of ``columns``.

        Args:
            computed: by column, what is stored instead of its value, written in SQL; its own name
                stands for its value.
        """
        await self._insert(table, columns, rows, computed=computed)

    async def insert_new(
        self,
        table: str,
        columns: Mapping[str, ColumnType],
        rows: Sequence[Sequence[object]],
        *,
        unique: str,
    ) -> int:
        """Insert those of many rows whose values in the unique columns do not stand yet.

        Also not in another transaction that is about to be committed, which is waited for. Returns
        how many were inserted.
        """
        conflict = f"ON CONFLICT ({unique}) DO NOTHING"
        if self.dialect == "postgres":
            return await self._insert(table, columns, rows, end=f"{conflict} RETURNING 1")
        before = await self._changes()
        await self._insert(table, columns, rows, end=conflict)
        return await self._changes() - before

    async def _changes(self) -> int:
        """Count the rows that this connection to SQLite has ever changed."""
        [row] = await self.fetch("SELECT total_changes() AS count")
        return int(row["count"])

    async def _insert(
        self,
        table: str,
        columns: Mapping[str, ColumnType],
        rows: Sequence[Sequence[object]],
        *,
        computed: Mapping[str, str] | None = None,
        end: str = "",
    ) -> int:
        """Insert; returns how many rows the statement gave back."""
        if not rows:
            return 0
        changed = {name: sql for name, sql in (computed or {}).items() if sql != name}
        names = ", ".join(columns)
        if self.dialect == "sqlite" and not changed:
            # A prepared statement: a quarter less than to read the rows out of JSON.
            places = ", ".join("?" * len(columns))
            await self.client.execute_many(
                f"INSERT INTO {table} ({names}) VALUES ({places}) {end}",
                _rows_for_sqlite(columns, rows),
            )
            return 0
        source, values = self.rows(columns, rows)
        picks = ", ".join(changed.get(name, name) for name in columns)
        statement = f"INSERT INTO {table} ({names}) SELECT {picks} FROM {source} {end}"
        return len(await self.fetch(statement, *values))

    def rows(
        self,
        columns: Mapping[str, ColumnType],
        rows: Sequence[Sequence[object]],
        *,
        first: int = 1,
    ) -> tuple[str, list[object]]:
        """Make a table of many rows out of parameters: the text for ``FROM``, and the parameters.

        Args:
            first: the number of the first parameter that is free.
        """
        if self.dialect == "postgres":
            arrays = ", ".join(
                f"${first + index}::{kind}[]" for index, kind in enumerate(columns.values())
            )
            lists = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in columns]
            return f"UNNEST({arrays}) AS v({', '.join(columns)})", list(lists)
        picks = ", ".join(
            f"json_extract(value, '$[{index}]') AS {name}" for index, name in enumerate(columns)
        )
        return f"(SELECT {picks} FROM json_each(${first})) AS v", [_as_json(rows)]

    def _words(self, sql: str) -> str:
        return _for_sqlite_words(sql) if self.dialect == "sqlite" else sql

    def _values(self, values: Sequence[object]) -> list[object]:
        if self.dialect == "postgres":
            return list(values)
        return [_for_sqlite(value) for value in values]


@lru_cache(maxsize=1_024)  # nearly all moments of a message's rows are one
def timestamp_text(moment: datetime) -> str:
    """Return the text under which SQLite stores a moment: UTC, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(" ", timespec="microseconds")


#: By type of column, what writes its values for SQLite; the other types are its own.
_WRITERS: Mapping[ColumnType, Callable[[Any], str]] = {"uuid": str, "timestamptz": timestamp_text}


def read_timestamp(value: object) -> datetime:
    """Read a moment that either database returned."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment.astimezone(UTC)


def read_id(value: object) -> UUID:
    """Read an id that either database returned."""
    return value if isinstance(value, UUID) else UUID(str(value))


@lru_cache(maxsize=512)
def _for_sqlite_words(sql: str) -> str:
    """Write PostgreSQL's ``$1`` as SQLite's ``?1``."""
    return re.sub(r"\$(\d+)", r"?\1", sql)


def _rows_for_sqlite(
    columns: Mapping[str, ColumnType], rows: Sequence[Sequence[object]]
) -> list[list[object]]:
    """Write ids and moments as SQLite has them; the other types are its own."""
    by_column: list[Sequence[object]] = []
    for kind, values in zip(columns.values(), zip(*rows, strict=True), strict=True):
        write = _WRITERS.get(kind)
        by_column.append([one and write(one) for one in values] if write else values)
    return [list(row) for row in zip(*by_column, strict=True)]


def _written(value: object) -> object:
    written = _for_sqlite(value)
    if written is value:
        raise TypeError(f"{type(value).__name__} cannot be stored in a column")
    return written


#: JSON has words for all but ids and moments, which alone are asked for.
_as_json = json.JSONEncoder(default=_written).encode


def _for_sqlite(value: object) -> object:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return timestamp_text(value)
    return value
