"""What the migrations write, to the letter, and that it is what the models say.

``ALMENARA_TEST_WRITE_SQL=1`` writes the golden files anew; read their difference before committing.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
from tortoise.context import TortoiseContext
from tortoise.exceptions import IntegrityError
from tortoise.migrations.executor import MigrationExecutor

import almenara.migrations
from almenara import models
from almenara.database import WRITERS, Database, open_database, tortoise_config
from almenara.migrations import migrate
from almenara.models import new_id
from almenara.settings import Settings
from tests.serving import make_settings
from tests.stored import add_channel, add_topic

GOLDEN = Path(__file__).parent
NAMES = [module.name for module in iter_modules(almenara.migrations.__path__)]
#: Every index that the migrations make, in their order.
INDEXES: list[str] = [
    statement
    for name in NAMES
    for statement in getattr(import_module(f"almenara.migrations.{name}"), "INDEXES", ())
]

MODELS = (
    models.Configuration,
    models.Channel,
    models.ChannelState,
    models.Topic,
    models.TopicChannel,
    models.Message,
    models.Delivery,
    models.Attempt,
    models.IdempotencyKey,
    models.Replay,
    models.AttachmentContent,
    models.AttachmentChunk,
    models.AttachmentUse,
    models.Process,
    models.Tally,
)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """A migrated database."""
    one = await open_database(settings)
    await migrate(one)
    yield one
    await one.close()


# To the letter


class NothingApplied:
    """A record of migrations that asks no database."""

    async def applied_migrations(self) -> list[Any]:
        return []


def config_of(dialect: str, directory: Path) -> dict[str, Any]:
    """Tortoise's configuration with the writer in front; nothing listens at that URL."""
    url = None if dialect == "sqlite" else "postgres://nobody@127.0.0.1:1/nothing"
    config = tortoise_config(make_settings(directory, url))
    config["apps"]["almenara"]["default_connection"] = WRITERS[dialect]
    return config


async def sql_of(dialect: str, name: str, directory: Path) -> str:
    """Return what a migration would run, without a connection."""
    context = TortoiseContext()
    with context:
        config = config_of(dialect, directory)
        await context.init(config, init_connections=False)
        executor = MigrationExecutor(context.connections.get(WRITERS[dialect]), config["apps"])
        executor.loader.recorder = NothingApplied()  # type: ignore[assignment]  # all that is asked
        return "\n".join(await executor.collect_sql("almenara", name)) + "\n"


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_migration_runs_the_statements_that_were_agreed_upon(
    name: str, dialect: str, tmp_path: Path
) -> None:
    golden = GOLDEN / f"{name}.{dialect}.sql"
    sql = await sql_of(dialect, name, tmp_path)
    if os.environ.get("ALMENARA_TEST_WRITE_SQL"):
        golden.write_text(sql)
    assert golden.read_text() == sql


def test_every_golden_file_belongs_to_a_migration() -> None:
    there = {path.name for path in GOLDEN.glob("*.sql")}
    assert there == {f"{name}.{dialect}.sql" for name in NAMES for dialect in WRITERS}


# As the models say


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
async def test_the_types_are_the_models(dialect: str, tmp_path: Path) -> None:
    written = "".join([await sql_of(dialect, name, tmp_path) for name in NAMES])
    for model in MODELS:
        meta = model._meta
        [table] = re.findall(rf'CREATE TABLE "{meta.db_table}" \((.+?)\n\);', written, re.DOTALL)
        types = dict(
            re.findall(r'^ +"(\w+)" (\w+(?: PRECISION)?(?:\(\d+\))?)', table, re.MULTILINE)
        )
        added = rf'ALTER TABLE "{meta.db_table}" ADD COLUMN "(\w+)" (\w+(?:\(\d+\))?)'
        types |= dict(re.findall(added, written))
        assert types == {
            column: meta.fields_map[field].get_for_dialect(dialect, "SQL_TYPE")
            for field, column in meta.fields_db_projection.items()
        }, meta.db_table


async def columns(database: Database, table: str) -> dict[str, bool]:
    """Return a table's columns, and which of them may be NULL."""
    if database.dialect == "sqlite":
        rows = await database.fetch(f"SELECT name, \"notnull\" FROM pragma_table_info('{table}')")
        return {row["name"]: not row["notnull"] for row in rows}
    rows = await database.fetch(
        "SELECT column_name, is_nullable FROM information_schema.columns WHERE table_name = $1",
        table,
    )
    return {row["column_name"]: row["is_nullable"] == "YES" for row in rows}


async def test_the_columns_are_the_models(database: Database) -> None:
    for model in MODELS:
        meta = model._meta
        expected = {
            column: meta.fields_map[field].null
            for field, column in meta.fields_db_projection.items()
        }
        assert await columns(database, meta.db_table) == expected, meta.db_table


async def constraints(database: Database, table: str, kind: str) -> set[tuple[str, ...]]:
    """Return the columns of a table's unique constraints (``u``) or of its primary key (``p``)."""
    if database.dialect == "sqlite":
        rows = await database.fetch(
            "SELECT l.name, i.name AS column_name FROM pragma_index_list($1) l,"
            " pragma_index_info(l.name) i WHERE l.origin = $2 ORDER BY l.name, i.seqno",
            *(table, kind + "k" if kind == "p" else kind),
        )
    else:
        rows = await database.fetch(
            "SELECT c.conname AS name, a.attname AS column_name FROM pg_constraint c"
            " CROSS JOIN LATERAL UNNEST(c.conkey) WITH ORDINALITY AS k(number, seqno)"
            " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number"
            " WHERE c.conrelid = $1::text::regclass AND c.contype::text = $2"
            " ORDER BY c.conname, k.seqno",
            *(table, kind),
        )
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        found[row["name"]] = (*found.get(row["name"], ()), row["column_name"])
    return set(found.values())


async def test_what_must_be_unique_is_what_the_models_say(database: Database) -> None:
    for model in MODELS:
        meta = model._meta
        single = {
            (column,)
            for field, column in meta.fields_db_projection.items()
            if meta.fields_map[field].unique and not meta.fields_map[field].pk
        }
        together = {
            tuple(meta.fields_map[name].source_field or name for name in names)
            for names in meta.unique_together
        }
        assert await constraints(database, meta.db_table, "u") == single | together, meta.db_table
    assert await constraints(database, "topic_channel", "u") == {("topic_id", "channel_id")}
    assert await constraints(database, "channel", "u") == {("name",)}
    assert await constraints(database, "topic", "u") == {("name",)}


async def test_every_table_has_its_primary_key(database: Database) -> None:
    for model in MODELS:
        meta = model._meta
        keys = {(meta.db_pk_column,)}
        assert await constraints(database, meta.db_table, "p") == keys, meta.db_table


async def foreign_keys(database: Database) -> set[tuple[str, str, str, str]]:
    """Return every foreign key: the table, the column, where it points, what a deletion does."""
    if database.dialect == "sqlite":
        rows = await database.fetch(
            'SELECT t.name AS source, f."from" AS col, f."table" || \'.\' || f."to" AS target,'
            " f.on_delete AS deletion FROM sqlite_master t, pragma_foreign_key_list(t.name) f"
            " WHERE t.type = 'table'"
        )
    else:
        rows = await database.fetch(
            "SELECT c.conrelid::regclass::text AS source, a.attname AS col,"
            " c.confrelid::regclass::text || '.' || b.attname AS target,"
            " CASE c.confdeltype::text WHEN 'c' THEN 'CASCADE' WHEN 'r' THEN 'RESTRICT'"
            " ELSE c.confdeltype::text END AS deletion FROM pg_constraint c"
            " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]"
            " JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = c.confkey[1]"
            " WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace"
        )
    return {(row["source"], row["col"], row["target"], row["deletion"]) for row in rows}


async def test_the_foreign_keys_are_the_models(database: Database) -> None:
    expected = {
        (
            model._meta.db_table,
            field.source_field,
            f"{field.related_model._meta.db_table}.{field.related_model._meta.db_pk_column}",
            str(field.on_delete.value),
        )
        for model in MODELS
        for field in (model._meta.fields_map[name] for name in model._meta.fk_fields)
    }
    assert await foreign_keys(database) == expected
    assert len(expected) == 7


async def test_the_indexes_are_those_of_the_list(database: Database) -> None:
    look = {
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        "postgres": "SELECT indexname AS name, indexdef AS sql FROM pg_indexes"
        " WHERE schemaname = 'public' AND indexname NOT IN (SELECT conname FROM pg_constraint)",
    }
    there = {row["name"]: shape(row["sql"]) for row in await database.fetch(look[database.dialect])}
    assert there == {statement.split()[2]: shape(statement) for statement in INDEXES}


def shape(statement: str) -> tuple[str, str, str]:
    """Return an index's table, columns and condition, as both databases write them."""
    found = re.search(
        r"ON (?:public\.)?(\w+) (?:USING btree )?\(([^)]+)\)(?: WHERE (.+))?", statement
    )
    assert found is not None, statement
    table, listed, condition = found.groups(default="")
    return table, listed, re.sub(r"::\w+( varying)?|[()]", "", condition)


# In use


async def test_a_topic_has_a_channel_once(database: Database) -> None:
    channel = await add_channel(database, "team")
    topic = await add_topic(database, "sales", channel)
    with pytest.raises(IntegrityError):
        async with database.transaction() as transaction:
            await transaction.execute(
                "INSERT INTO topic_channel (id, topic_id, channel_id, position)"
                " VALUES ($1, $2, $3, 1)",
                *(new_id(), topic, channel),
            )


async def test_a_channel_in_use_stays_and_a_topic_takes_its_links_along(
    database: Database,
) -> None:
    channel = await add_channel(database, "team")
    await add_topic(database, "sales", channel)
    with pytest.raises(IntegrityError):
        async with database.transaction() as transaction:
            await transaction.execute("DELETE FROM channel")
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM topic")
    assert await database.fetch("SELECT * FROM topic_channel") == []
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM channel")
    assert await database.fetch("SELECT * FROM channel") == []
