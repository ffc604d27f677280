"""PostgreSQL's tables, laid aside between two tests instead of dropped and made anew.

A test begins with an empty schema, and most of them want the tables in it. With their indexes they
are more than sixty files: to drop and make them took a quarter of such a test. So the schema goes
aside under another name, and comes back without its rows, unless the test left more in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import TopologicalSorter
from typing import NamedTuple

import asyncpg

_ASIDE = "almenara_test_aside"
#: A table this large has rows, or their remains, that are dearer to delete than the table.
_LARGEST_BYTES = 1_000_000

#: Whatever a test may change besides rows.
_SHAPE = """
SELECT md5(string_agg(line, ';' ORDER BY line)) AS shape FROM (
    SELECT concat_ws(' ', c.relname, c.relkind, a.attname, a.atttypid, a.attnotnull,
                     pg_get_expr(d.adbin, d.adrelid)) AS line
    FROM pg_class AS c
    LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisvalid)
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', t.tgrelid::regclass, t.tgname, t.tgenabled)
    FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal
    UNION ALL
    SELECT concat_ws(' ', 'function', proname)
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'migration', name) FROM tortoise_migrations
) AS lines
"""
_LARGEST = """
SELECT max(pg_relation_size(oid)) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
"""
_TABLES = """
SELECT c.relname AS name,
       array_remove(array_agg(f.relname), NULL) AS referred
FROM pg_class AS c
LEFT JOIN pg_constraint AS r ON r.conrelid = c.oid AND r.contype = 'f'
LEFT JOIN pg_class AS f ON f.oid = r.confrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
GROUP BY c.relname
"""


class Tables(NamedTuple):
    """The tables as the migrations leave them."""

    shape: str
    #: Those that another refers to come first.
    names: tuple[str, ...]
    #: By table, the rows that the migrations wrote.
    rows: dict[str, list[asyncpg.Record]]


async def look(connection: asyncpg.Connection) -> Tables:
    """Remember the tables that stand there, with their rows."""
    found = {row["name"]: row["referred"] for row in await connection.fetch(_TABLES)}
    names = tuple(one for one in _in_order(found) if one != "tortoise_migrations")
    rows = {name: await connection.fetch(f'SELECT * FROM "{name}"') for name in names}
    return Tables(
        await _shape(connection), names, {name: those for name, those in rows.items() if those}
    )


async def empty(connection: asyncpg.Connection, tables: Tables | None) -> None:
    """Leave an empty schema; lay the old one aside if it is as the migrations leave it."""
    worthy = tables and not await _lies_aside(connection) and await _is_as(connection, tables)
    async with connection.transaction():
        if worthy:
            await connection.execute(f"ALTER SCHEMA public RENAME TO {_ASIDE}")
        else:
            await connection.execute("DROP SCHEMA public CASCADE")
        await connection.execute("CREATE SCHEMA public")


async def bring_back(connection: asyncpg.Connection, tables: Tables) -> bool:
    """Put the schema that was laid aside where the empty one is; false if there is none."""
    if not await _lies_aside(connection):
        return False
    async with connection.transaction():
        await connection.execute(
            f"DROP SCHEMA public; ALTER SCHEMA {_ASIDE} RENAME TO public;"
            + ";".join(f'DELETE FROM "{name}"' for name in reversed(tables.names))
        )
        for name, rows in tables.rows.items():
            places = ", ".join(f"${number}" for number in range(1, len(rows[0]) + 1))
            await connection.executemany(
                f'INSERT INTO "{name}" OVERRIDING SYSTEM VALUE VALUES ({places})',
                [tuple(row) for row in rows],
            )
    return True


async def _lies_aside(connection: asyncpg.Connection) -> bool:
    return await connection.fetchval("SELECT to_regnamespace($1)", _ASIDE) is not None


async def _is_as(connection: asyncpg.Connection, tables: Tables) -> bool:
    if await connection.fetchval("SELECT to_regclass('public.tortoise_migrations')") is None:
        return False
    if await _shape(connection) != tables.shape:
        return False
    largest: int = await connection.fetchval(_LARGEST)
    return largest < _LARGEST_BYTES


async def _shape(connection: asyncpg.Connection) -> str:
    shape: str = await connection.fetchval(_SHAPE)
    return shape


def _in_order(referred: dict[str, list[str]]) -> Iterable[str]:
    return TopologicalSorter(
        {name: [one for one in others if one != name] for name, others in referred.items()}
    ).static_order()
