"""Moving from SQLite to PostgreSQL: every row of one database into another, checked at the end.

One transaction holds the whole copy: broken off at any moment, the new database is as empty as it
was, and the old one is only read. The new rows are the old ones, each written by the ledger in its
time, so none is told or moved by this.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asyncpg import Connection, PostgresError
from tortoise import fields
from tortoise.models import Model

from almenara.database import Database, read_id, read_timestamp
from almenara.errors import AlmenaraError, ConfigurationError
from almenara.migrations import migrate, missing_migrations
from almenara.models import (
    AttachmentChunk,
    AttachmentContent,
    AttachmentUse,
    Attempt,
    AuditEntry,
    Channel,
    ChannelState,
    Configuration,
    Delivery,
    IdempotencyKey,
    Message,
    Process,
    Replay,
    Tally,
    Topic,
    TopicChannel,
)
from almenara.secrets import open_vault
from almenara.sending import opened
from almenara.settings import Settings

#: What is copied, each before what refers to it.
TABLES: tuple[type[Model], ...] = (
    *(Configuration, Channel, ChannelState, Topic, TopicChannel),
    *(Message, IdempotencyKey, Delivery, Attempt, Replay, AuditEntry),
    *(AttachmentContent, AttachmentChunk, AttachmentUse),
)

#: Of processes that run on the one database, nothing is true of the other; charts begin anew.
NOT_COPIED: tuple[type[Model], ...] = (Process, Tally)

#: So many rows are in memory at once; of chunks fewer, as each is 256 KiB.
_ROWS_AT_ONCE, _CHUNKS_AT_ONCE = 5_000, 20
#: A table is reckoned to be the same if this sum over its rows is.
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class _Table:
    """A table as both databases have it."""

    name: str
    key: str
    columns: Mapping[str, fields.Field[Any]]

    @classmethod
    def of(cls, model: type[Model]) -> _Table:
        """Read a model's table."""
        meta = model._meta  # noqa: SLF001 - Tortoise's public description of a model is slower
        projection = meta.fields_db_projection.items()
        columns = {column: meta.fields_map[name] for name, column in projection}
        return cls(meta.db_table, meta.db_pk_column, columns)

    @property
    def names(self) -> str:
        """The columns, for SQL."""
        return ", ".join(self.columns)

    @property
    def rows_at_once(self) -> int:
        """How many rows are in memory at once."""
        has_bytes = any(isinstance(one, fields.BinaryField) for one in self.columns.values())
        return _CHUNKS_AT_ONCE if has_bytes else _ROWS_AT_ONCE

    def records(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
        """Return rows of either database as PostgreSQL's driver takes them."""
        return [
            tuple(_value(row[column], field) for column, field in self.columns.items())
            for row in rows
        ]


#: Called with a table's name, how many of its rows are copied, and how many there are.
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """One table that was copied, and found to be the same."""

    name: str
    row_count: int


async def copy_database(settings: Settings, tell: Tell) -> list[CopiedTable]:
    """Copy the SQLite database of the data directory into the PostgreSQL database of the settings.

    Raises:
        ConfigurationError: one of the two cannot be used for this; nothing was changed.
    """
    if settings.uses_sqlite:
        raise ConfigurationError(
            "Set ALMENARA_DATABASE_URL to the PostgreSQL database that is to be filled; what is "
            "copied is the SQLite database in ALMENARA_DATA_DIR."
        )
    source_settings = settings.model_copy(
        update={"database_url": None, "broker_url": None, "workers": 1}
    )
    if not source_settings.database_file.exists():
        raise ConfigurationError(
            f"There is no SQLite database {source_settings.database_file} to copy: check "
            "ALMENARA_DATA_DIR."
        )
    async with opened(source_settings) as source:
        await _check_source(source)
        await _check_secrets(source, settings)
    # One at a time: Tortoise knows one database that is everybody's.
    async with opened(settings) as target:
        await migrate(target)
    async with opened(source_settings) as source:
        connection = await target.connect("almenara copy-database")
        try:
            # Reading a part of the old database takes no such time, but a slow disk may.
            await connection.execute("SET idle_in_transaction_session_timeout = 0")
            async with connection.transaction():
                await _check_target(connection)
                return [await _copy(source, connection, _Table.of(model), tell) for model in TABLES]
        finally:
            await connection.close()


async def _check_source(source: Database) -> None:
    missing = await missing_migrations(source)
    if missing:
        raise ConfigurationError(
            f"The SQLite database's schema is older than this version of Almenara ({missing[0]} is "
            "missing). Run `almenara migrate` with ALMENARA_DATABASE_URL unset, then copy."
        )


async def _check_secrets(source: Database, settings: Settings) -> None:
    """Find out whether the new set-up's key opens what the old one's has sealed."""
    vault = open_vault(settings)
    for channel in await Channel.all().using_db(source.reader):
        try:
            vault.open(channel.settings, place=str(channel.id))
        except AlmenaraError as error:
            raise ConfigurationError(
                f"ALMENARA_SECRET_KEY does not open the secrets of the channel {channel.name}: set "
                f"it to the key that they were stored with, which is in "
                f"{settings.data_dir / 'secret.key'} unless it was set before."
            ) from error


async def _check_target(connection: Connection) -> None:
    """Make sure that nothing would be mixed up; what a migration itself writes is taken away."""
    for model in TABLES:
        table = _Table.of(model).name
        # Nobody else may begin to fill it meanwhile.
        await connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        if model is Configuration:
            await connection.execute("DELETE FROM configuration")
        elif await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM {table})"):
            raise ConfigurationError(
                f"The PostgreSQL database is not empty: there are rows in {table}. Copy into a new "
                "database, before any server has used it."
            )


async def _copy(source: Database, connection: Connection, table: _Table, tell: Tell) -> CopiedTable:
    """Copy one table, and compare."""
    [row] = await source.fetch(f"SELECT count(*) AS count FROM {table.name}")
    total, copied, digest = int(row["count"]), 0, 0
    last: object = None
    tell(table.name, 0, total)
    while True:
        after, values = ("", ()) if last is None else (f"WHERE {table.key} > $1", (last,))
        rows = await source.fetch(
            f"SELECT {table.names} FROM {table.name} {after} ORDER BY {table.key}"
            f" LIMIT {table.rows_at_once}",
            *values,
        )
        if not rows:
            break
        last = rows[-1][table.key]
        records = table.records(rows)
        try:
            await connection.copy_records_to_table(
                table.name, records=records, columns=list(table.columns)
            )
        except (PostgresError, ValueError, OverflowError) as error:
            raise ConfigurationError(
                f"A row of {table.name}, after the first {copied}, cannot be stored in "
                f"PostgreSQL: {str(error).splitlines()[0]}. Nothing was copied."
            ) from error
        digest = _added(digest, records, table)
        copied += len(records)
        tell(table.name, copied, total)
    await _compare(connection, table, copied, digest)
    return CopiedTable(table.name, copied)


async def _compare(connection: Connection, table: _Table, count: int, digest: int) -> None:
    """Read everything again from the new database, and see that it is what was written."""
    seen, found = 0, 0
    cursor = await connection.cursor(f"SELECT {table.names} FROM {table.name}")
    while rows := await cursor.fetch(table.rows_at_once):
        seen, found = seen + len(rows), _added(found, table.records(rows), table)
    if (seen, found) != (count, digest):
        raise ConfigurationError(
            f"What was copied of {table.name} is not what was read ({seen} rows of {count}). "
            "Nothing was kept; this is a mistake in Almenara, so please report it."
        )


def _value(value: Any, field: fields.Field[Any]) -> Any:
    if value is None:
        return None
    if isinstance(field, fields.UUIDField):
        return read_id(value)
    if isinstance(field, fields.DatetimeField):
        return read_timestamp(value)
    if isinstance(field, fields.BooleanField):
        return bool(value)
    return value


def _added(digest: int, records: Sequence[tuple[object, ...]], table: _Table) -> int:
    """Add rows to the sum over a table, in whatever order they come."""
    is_json = [isinstance(field, fields.JSONField) for field in table.columns.values()]
    for record in records:
        values = [
            _canonical(value) if json_ and value is not None else value
            for value, json_ in zip(record, is_json, strict=True)
        ]
        text = repr(values).encode("utf-8", "surrogatepass")
        one = hashlib.blake2b(text, digest_size=_DIGEST_BYTES)
        digest += int.from_bytes(one.digest(), "big")
    return digest % (1 << 8 * _DIGEST_BYTES)


def _canonical(value: Any) -> str:
    """Write JSON in one way: PostgreSQL keeps neither the order of keys nor how numbers look."""
    return json.dumps(json.loads(value, parse_int=float), sort_keys=True)
