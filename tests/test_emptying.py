"""The tables that a test finds in PostgreSQL: as the migrations leave them, whatever was before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from tests.serving import make_settings
from tests.tables import drop_tables, make_tables

pytestmark = pytest.mark.postgres

LEFT_BEHIND = {
    "a row": "INSERT INTO topic (id, name, strategy, enabled, created_at, updated_at)"
    " VALUES (gen_random_uuid(), 'left', 'all', true, now(), now())",
    "a changed row": "UPDATE configuration SET revision = 7",
    "a row less": "DELETE FROM configuration",
    "an index less": "DROP INDEX delivery_due",
    "a column more": "ALTER TABLE topic ADD COLUMN more text",
    "a trigger": """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER refuse BEFORE INSERT ON topic FOR EACH ROW EXECUTE FUNCTION refuse()
    """,
    "a constraint": "ALTER TABLE topic ADD CONSTRAINT short CHECK (length(name) < 3)",
    "a table less": "DROP TABLE attempt CASCADE",
    "an older version": "DELETE FROM tortoise_migrations WHERE name LIKE '0010%'",
    "much": "INSERT INTO attachment_content (sha256, size, touched_at)"
    " SELECT encode(sha256(n::text::bytea), 'hex'), 1, now() FROM generate_series(1, 20000) AS n",
    "no tables": "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
}

FOUND = """
SELECT (SELECT revision FROM configuration) AS revision,
       (SELECT count(*) FROM topic) AS topics,
       (SELECT count(*) FROM attachment_content) AS contents,
       (SELECT count(*) FROM attempt) AS attempts,
       (SELECT count(*) FROM tortoise_migrations) AS versions,
       (SELECT count(*) FROM pg_indexes WHERE schemaname = 'public') AS indexes,
       (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal) AS triggers,
       (SELECT count(*) FROM pg_constraint WHERE conname = 'short') AS constraints,
       (SELECT count(*) FROM pg_attribute WHERE attname = 'more') AS columns
"""


@pytest.mark.parametrize("left_behind", LEFT_BEHIND.values(), ids=LEFT_BEHIND)
async def test_the_next_test_finds_the_tables_as_the_migrations_leave_them(
    postgres_database: Callable[..., str], tmp_path: Path, left_behind: str
) -> None:
    settings = make_settings(tmp_path, url := postgres_database())
    for _ in range(2):  # the first time may write down how they are made
        await drop_tables(url)
        await make_tables(settings)
    connection = await asyncpg.connect(url)
    try:
        fresh = await connection.fetchrow(FOUND)
        await connection.execute(left_behind)
        for _ in range(2):
            await drop_tables(url)
            assert await connection.fetch("SELECT FROM pg_tables WHERE schemaname = 'public'") == []
            await make_tables(settings)
            assert await connection.fetchrow(FOUND) == fresh
    finally:
        await connection.close()
