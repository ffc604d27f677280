"""What is new in the log is found by its keys, whoever wrote it and however long the log is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from almenara.database import Database, read_id
from almenara.deliveries import Plan, expire
from almenara.models import lowest_id
from almenara.settings import Settings
from almenara.stream import changes as changes_module
from almenara.stream.changes import NEW, OPEN, WATCHED, Changes
from almenara.stream.stream import CHANNELS
from tests.serving import make_settings
from tests.stored import a_plan, in_transaction, opened_database, store

#: Far ahead, so that no id that is made meanwhile is of a later time.
NOW = datetime(2100, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """A database with its tables."""
    async with opened_database(settings) as one:
        yield one


class Reader:
    """What looks, and its clock."""

    def __init__(self, database: Database) -> None:
        self.now = NOW
        self.changes = Changes(database, clock=lambda: self.now)

    async def look(self) -> list[UUID]:
        """Look a second later."""
        self.now += SECOND
        found = await self.changes.look()
        assert not found.left_out
        return list(found.ids)


def made(at: datetime, number: int = 0, **fields: object) -> Plan:
    """Return a message whose id was made at a moment."""
    return a_plan("team", now=at, id=UUID(int=lowest_id(at).int + number), **fields)


async def test_what_is_new_is_told_once_in_the_order_of_its_ids(database: Database) -> None:
    old = made(NOW - timedelta(days=1))
    await store(database, old)
    reader = Reader(database)
    await reader.changes.begin()
    assert await reader.look() == []
    new = [made(reader.now, number) for number in range(3)]
    await store(database, *reversed(new))
    assert await reader.look() == [one.message.id for one in new]
    assert await reader.look() == []


async def test_what_is_committed_late_is_told_too(database: Database) -> None:
    reader = Reader(database)
    await reader.changes.begin()
    early, late = made(NOW + SECOND, 1), made(NOW - 5 * SECOND, 2)
    await store(database, early)
    assert await reader.look() == [early.message.id]
    await store(database, late)
    assert await reader.look() == [late.message.id]


async def test_what_expires_while_it_waits_is_told(database: Database) -> None:
    waits = made(NOW, expires_at=NOW + SECOND)
    await store(database, waits)
    reader = Reader(database)
    await reader.changes.begin()
    await in_transaction(database, lambda one: expire(one, now=NOW + 2 * SECOND))
    assert await reader.look() == [waits.message.id]
    # It is final now, and looked at no more.
    assert reader.changes._watched == {}


async def test_of_too_much_the_newest_is_told_and_that_there_was_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(database)
    await reader.changes.begin()
    monkeypatch.setattr(changes_module, "MOST_TOLD", 2)
    new = [made(NOW, number) for number in range(3)]
    await store(database, *new)
    found = await reader.changes.look()
    assert (list(found.ids), found.left_out) == ([one.message.id for one in new[1:]], True)
    monkeypatch.setattr(changes_module, "MOST_NEW", 2)
    # What was read before is no news, though it is more than a look reads.
    assert await reader.look() == []
    await store(database, *(made(NOW + SECOND, number) for number in range(3)))
    assert (await reader.changes.look()).left_out


async def test_only_the_newest_of_what_waits_is_watched(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "MOST_WATCHED", 2)
    plans = [made(NOW, number) for number in range(4)]
    await store(database, *plans)
    reader = Reader(database)
    await reader.changes.begin()
    newest = {one.deliveries[0].id for one in plans[2:]}
    assert {read_id(one) for one in reader.changes._watched} == newest


async def test_every_look_searches_by_a_key_or_an_index(tmp_path: Path) -> None:
    statements = [*NEW.values(), OPEN]
    some = "(SELECT value AS id FROM json_each('[]')) AS v"
    statements += [one.format(source=some) for one in (WATCHED, CHANNELS)]
    details = []
    async with opened_database(make_settings(tmp_path)) as database:
        for statement in statements:
            values = ("x", 1) if "$" in statement else ()
            rows = await database.fetch(f"EXPLAIN QUERY PLAN {statement}", *values)
            details += [row["detail"] for row in rows]
    searches = [one for one in details if not one.startswith(("SCAN json_each", "USE TEMP"))]
    assert searches == [
        "SEARCH message USING COVERING INDEX sqlite_autoindex_message_1 (id>?)",
        "SEARCH delivery USING INDEX sqlite_autoindex_delivery_1 (id>?)",
        "SEARCH attempt USING INDEX sqlite_autoindex_attempt_1 (id>?)",
        "SEARCH audit USING INDEX sqlite_autoindex_audit_1 (id>?)",
        "SEARCH delivery USING INDEX delivery_status (status=?)",
        "SEARCH delivery USING INDEX sqlite_autoindex_delivery_1 (id=?)",
        "SEARCH delivery USING INDEX delivery_message (message_id=?)",
    ]
