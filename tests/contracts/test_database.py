"""The database layer, over SQLite and PostgreSQL: opening it, statements, values, transactions."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from tortoise.exceptions import OperationalError

from almenara.database import Database, Transaction, open_database, read_id, read_timestamp
from almenara.database.transaction import ColumnType, timestamp_text
from almenara.errors import ConfigurationError
from almenara.models import Message, lowest_id, new_id
from almenara.settings import Settings
from tests.serving import make_settings
from tests.stored import NOW, count, in_transaction, opened_database, stored

COLUMNS: dict[str, ColumnType] = {
    "id": "uuid",
    "words": "text",
    "moment": "timestamptz",
    "number": "integer",
    "document": "jsonb",
    "flag": "boolean",
}
_TABLE = {
    "sqlite": "CREATE TABLE thing (id CHAR(36), words TEXT, moment TIMESTAMP, number INT,"
    " document JSON, flag INT)",
    "postgres": "CREATE TABLE thing (id UUID, words TEXT, moment TIMESTAMPTZ, number INT,"
    " document JSONB, flag BOOL)",
}
HARD_TEXTS = (
    "",
    "'; DROP TABLE thing; --",
    "quotes \"double\" and 'single', back\\slash, $1 ?1 %s {}",
    "lines\nand\ttabs\r\n",
    "ünïcödé, 漢字, العربية, 👩‍👩‍👧‍👦, \u202e, \ufeff",
    "null",
    "x" * 100_000,
)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    one = await open_database(settings)
    async with one.transaction() as transaction:
        await transaction.execute(_TABLE[one.dialect])
    yield one
    await one.close()


async def write(database: Database, *rows: tuple[object, ...]) -> None:
    async with database.transaction() as transaction:
        await transaction.insert("thing", COLUMNS, rows)


# Opening


async def test_sqlite_is_synced_at_every_commit_and_reads_on_a_connection_of_its_own(
    tmp_path: Path,
) -> None:
    database = await open_database(make_settings(tmp_path))

    async def pragmas(client: object) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "query_only", "busy_timeout")
        found = {}
        for name in (*names, "wal_autocheckpoint"):
            [row] = await client.execute_query_dict(f"PRAGMA {name}")  # type: ignore[attr-defined]  # of Tortoise
            [found[name]] = row.values()
        return found

    full = 2
    same = {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 5000}
    try:
        assert await pragmas(database.writer) == same | {
            "synchronous": full,
            "query_only": 0,
            "wal_autocheckpoint": 1000,
        }
        assert await pragmas(database.reader) == same | {
            "synchronous": full,
            "query_only": 1,
            "wal_autocheckpoint": 0,
        }
    finally:
        await database.close()


async def test_the_reading_connection_of_sqlite_cannot_write(tmp_path: Path) -> None:
    async with opened_database(make_settings(tmp_path)) as database:
        with pytest.raises(OperationalError, match="readonly"):
            await database.reader.execute_query("UPDATE configuration SET revision = 7")
        [row] = await database.fetch("SELECT revision FROM configuration")
        assert row["revision"] == 1


async def test_a_sqlite_that_is_too_old_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    with pytest.raises(ConfigurationError, match=r"SQLite is 3\.34\.1; Almenara needs 3\.35\.0"):
        await open_database(make_settings(tmp_path))


async def test_a_sqlite_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    settings.database_file.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"almenara\.sqlite3 cannot be opened"):
        await open_database(settings)


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    settings.data_dir.mkdir()
    settings.database_file.write_bytes(b"This is a letter to my aunt. " * 100)
    with pytest.raises(ConfigurationError, match="file is not a database"):
        await open_database(settings)


async def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file stands where the directory should be")
    with pytest.raises(ConfigurationError, match=r"The directory .*data cannot be used"):
        await open_database(make_settings(tmp_path))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgres://me:s3cret@127.0.0.1:1/x", r"127\.0\.0\.1:1/x cannot be reached: nothing"),
        ("postgres://me:s3cret@127.0.0.1:five/x", "ALMENARA_DATABASE_URL is not a URL"),
        ("postgres://me:s3/cret@127.0.0.1:5432/x", "ALMENARA_DATABASE_URL is not a URL"),
        ("postgres://me:s3cret@[::1:5432/x", "ALMENARA_DATABASE_URL is not a URL"),
        ("postgres://me:s3cret@127.0.0.1:5432", "names no database"),
        ("postgres://me:s3cret@127.0.0.1:5432/", "names no database"),
        ("postgres://me:53/s3cret@127.0.0.1:5432/x", "ALMENARA_DATABASE_URL is not a URL"),
        ("postgres://me:53?s3cret@127.0.0.1:5432/x", "names no database"),
        ("postgres://me:s3cret@127.0.0.1:1/x?sslmode=sometimes", "one parameter, sslmode"),
        ("postgres://me:s3cret@127.0.0.1:1/x?options=s3cret", "one parameter, sslmode"),
    ],
)
async def test_a_wrong_url_is_refused_without_a_word_of_the_password(
    tmp_path: Path, url: str, said: str
) -> None:
    settings = make_settings(tmp_path, url)
    with pytest.raises(ConfigurationError, match=said) as caught:
        await open_database(settings)
    assert "s3" not in caught.value.message


@pytest.mark.postgres
async def test_a_database_that_does_not_exist_is_named(tmp_path: Path, postgres_url: str) -> None:
    nowhere = make_settings(tmp_path, postgres_url.rpartition("/")[0] + "/no_such_database")
    with pytest.raises(ConfigurationError, match="no_such_database cannot be reached"):
        await open_database(nowhere)


@pytest.mark.postgres
async def test_an_encrypted_connection_is_insisted_upon(
    tmp_path: Path, postgres_database: Callable[..., str]
) -> None:
    url = postgres_database()
    encrypted = make_settings(tmp_path, url + "?sslmode=require")
    plain = make_settings(tmp_path, url + "?sslmode=disable")
    asks = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    async with opened_database(plain) as database:
        assert await database.fetch(asks) == [{"ssl": False}]
    try:
        database = await open_database(encrypted)
    except ConfigurationError as error:
        assert "cannot be reached" in error.message  # noqa: PT017 - this server has no certificate
        return
    try:
        assert await database.fetch(asks) == [{"ssl": True}]
    finally:
        await database.close()


async def test_a_database_can_be_opened_after_one_that_could_not(settings: Settings) -> None:
    broken = settings.model_copy(update={"data_dir": Path("/dev/null/data"), "database_url": None})
    with pytest.raises(ConfigurationError):
        await open_database(broken)
    async with opened_database(settings) as database:
        assert await count(database, "message") == 0


# Values


async def test_every_kind_of_value_comes_back_as_it_went_in(database: Database) -> None:
    one = new_id()
    other = datetime(2026, 7, 1, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=5.5)))
    await write(
        database,
        (one, "text", NOW, 2**31 - 1, '{"a": [1, null, "ü"]}', True),
        (one, "text", other, -(2**31), "[]", False),
        (None, None, None, None, None, None),
    )
    rows = await database.fetch("SELECT * FROM thing ORDER BY number")
    rows.sort(key=lambda row: (row["number"] is None, row["number"]))
    last, first, nothing = rows
    assert set(nothing.values()) == {None}
    assert read_id(first["id"]) == read_id(last["id"]) == one
    assert read_timestamp(first["moment"]) == NOW
    assert read_timestamp(last["moment"]) == other
    assert read_timestamp(last["moment"]).tzinfo is UTC
    assert (first["number"], last["number"]) == (2**31 - 1, -(2**31))
    assert (bool(first["flag"]), bool(last["flag"])) == (True, False)
    assert first["document"].replace(" ", "") == '{"a":[1,null,"ü"]}'


async def test_a_text_comes_back_to_the_letter(database: Database) -> None:
    await write(
        database,
        *((None, text, None, index, None, None) for index, text in enumerate(HARD_TEXTS)),
    )
    rows = await database.fetch("SELECT words FROM thing ORDER BY number")
    assert tuple(row["words"] for row in rows) == HARD_TEXTS
    for text in HARD_TEXTS:
        assert len(await database.fetch("SELECT number FROM thing WHERE words = $1", text)) == 1


async def test_five_thousand_rows_are_one_statement(database: Database) -> None:
    await write(database, *((new_id(), f"row {n}", NOW, n, None, n % 2 == 0) for n in range(5_000)))
    [row] = await database.fetch(
        "SELECT COUNT(*) AS rows, COUNT(DISTINCT id) AS ids, SUM(number) AS total FROM thing"
    )
    assert (row["rows"], row["ids"], row["total"]) == (5_000, 5_000, 12_497_500)


async def test_no_rows_are_no_statement_and_an_empty_table(database: Database) -> None:
    await write(database)
    assert await count(database, "thing") == 0
    async with database.transaction() as transaction:
        source, values = transaction.rows(COLUMNS, [], first=2)
        rows = await transaction.fetch(f"SELECT id FROM {source} WHERE 1 = $1", 1, *values)
    assert rows == []


async def test_changed_rows_are_counted_and_returned(database: Database) -> None:
    await write(database, *((None, "old", None, n, None, None) for n in range(3)))
    async with database.transaction() as transaction:
        source, values = transaction.rows({"n": "integer"}, [(0,), (1,), (9,)], first=2)
        update = f"UPDATE thing SET words = $1 FROM {source} WHERE thing.number = v.n"
        assert await transaction.execute(update, "new", *values) == 2
        returned = await transaction.fetch(update + " RETURNING number, words", "newer", *values)
        assert await transaction.execute("DELETE FROM thing WHERE number = $1", 7) == 0
        assert await transaction.execute("UPDATE thing SET words = 'x' WHERE number = 7") == 0
        assert await transaction.execute("DELETE FROM thing") == 3
    assert sorted((row["number"], row["words"]) for row in returned) == [(0, "newer"), (1, "newer")]


async def test_moments_are_compared_by_time_whatever_their_zone(database: Database) -> None:
    east = NOW.astimezone(timezone(timedelta(hours=14)))
    west = (NOW + timedelta(microseconds=1)).astimezone(timezone(-timedelta(hours=11)))
    await write(
        database, (None, "first", east, 1, None, None), (None, "second", west, 2, None, None)
    )
    rows = await database.fetch("SELECT words FROM thing WHERE moment > $1", NOW)
    assert [row["words"] for row in rows] == ["second"]
    rows = await database.fetch("SELECT words FROM thing ORDER BY moment")
    assert [row["words"] for row in rows] == ["first", "second"]


async def test_the_models_read_the_moments_that_statements_wrote(settings: Settings) -> None:
    async with opened_database(settings) as database:
        whole_second = NOW.replace(microsecond=0)
        plan = await stored(database, now=whole_second, send_at=NOW)
        message = await Message.get(id=plan.message.id).using_db(database.reader)
        assert (message.created_at, message.send_at) == (whole_second, NOW)
        assert isinstance(message.id, UUID)


def test_a_stored_moment_sorts_as_text_like_as_time() -> None:
    moments = [NOW.replace(microsecond=micro) for micro in (0, 1, 10, 999_999)]
    texts = [timestamp_text(moment) for moment in moments]
    assert texts == sorted(texts)
    assert [read_timestamp(text) for text in texts] == moments


def test_the_lowest_id_of_a_moment_stands_below_all_later_ones() -> None:
    before, after = datetime.now(UTC) - timedelta(seconds=5), datetime.now(UTC) + timedelta(hours=1)
    assert lowest_id(before) < new_id() < lowest_id(after)
    assert lowest_id(NOW).version == 7
    assert lowest_id(datetime(1960, 1, 1, tzinfo=UTC)) < lowest_id(NOW)


# Transactions


async def test_what_raises_inside_a_transaction_leaves_nothing(database: Database) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.insert("thing", COLUMNS, [(new_id(), "x", NOW, 1, None, True)])
        raise LookupError

    with pytest.raises(LookupError):
        await in_transaction(database, work)
    assert await count(database, "thing") == 0


async def test_a_commit_that_fails_leaves_nothing_and_no_open_transaction(
    settings: Settings,
) -> None:
    async def work(transaction: Transaction) -> None:
        if transaction.dialect == "sqlite":
            await transaction.execute("PRAGMA defer_foreign_keys = ON")
        await transaction.execute(
            "INSERT INTO attempt (id, message_id, delivery_id, number, outcome, started_at,"
            " finished_at, duration_ms, late) VALUES ($1, $1, $1, 1, 'sent', $2, $2, 0, $3)",
            *(new_id(), NOW, False),
        )

    async with opened_database(settings) as database:
        if database.dialect == "postgres":
            await _defer_foreign_keys(database)
        with pytest.raises((sqlite3.IntegrityError, asyncpg.ForeignKeyViolationError)):
            await in_transaction(database, work)
        assert await count(database, "attempt") == 0
        await stored(database)
        assert await count(database, "message") == 1


async def _defer_foreign_keys(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(
            "ALTER TABLE attempt ALTER CONSTRAINT attempt_delivery_id_fkey"
            " DEFERRABLE INITIALLY DEFERRED"
        )


async def test_a_transaction_that_was_ended_inside_is_not_ended_twice(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO thing (words) VALUES ('given up')")
        await transaction.client.rollback()  # type: ignore[attr-defined]  # of a transaction's client
    assert await count(database, "thing") == 0
    await write(database, (None, "kept", None, None, None, None))
    assert await count(database, "thing") == 1


async def test_a_script_inside_a_transaction_is_undone_with_it(database: Database) -> None:
    script = "INSERT INTO thing (words) VALUES ('a;b');; INSERT INTO thing (words) VALUES ('c'); ;"

    async def work(transaction: Transaction) -> None:
        await transaction.client.execute_script(script)
        assert len(await transaction.fetch("SELECT * FROM thing")) == 2
        raise LookupError

    with pytest.raises(LookupError):
        await in_transaction(database, work)
    assert await count(database, "thing") == 0
    async with database.transaction() as transaction:
        await transaction.client.execute_script(script)
    assert [row["words"] for row in await database.fetch("SELECT words FROM thing")] == ["a;b", "c"]


async def test_a_writer_that_cannot_connect_is_not_stuck_for_ever(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    database = await open_database(settings)
    await database.close()
    database = await open_database(settings)
    await database.writer.close()
    aside = settings.data_dir.rename(tmp_path / "elsewhere")
    for _ in range(2):
        with pytest.raises((sqlite3.OperationalError, OperationalError)):
            async with asyncio.timeout(3), database.transaction():
                pass
    aside.rename(settings.data_dir)
    async with database.transaction() as transaction:
        assert await transaction.fetch("SELECT 1 AS one") == [{"one": 1}]
    await database.close()
