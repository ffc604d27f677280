"""What waits is counted by the index of what waits, however long the log is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from almenara.backlog import Backlog, pending_statement
from almenara.figures import DATABASE_UP, OLDEST_DUE, PAUSED, PENDING
from almenara.queues.due import next_due
from almenara.settings import Settings
from tests.serving import make_settings
from tests.stored import NOW, a_plan, add_channel, opened_database, store


async def test_what_waits_is_counted_by_channel_with_the_age_of_the_oldest(
    settings: Settings,
) -> None:
    async with opened_database(settings) as database:
        for name in ("team", "mail", "idle"):
            await add_channel(database, name)
        hour = timedelta(hours=1)
        old = a_plan("team", now=NOW - hour, priority=5)
        await store(database, old, a_plan("team", priority=1), a_plan("mail", send_at=NOW + hour))
        # What is being sent, or was sent, does not wait.
        await store(database, a_plan("team", now=NOW - 2 * hour, claimed=True))
        found = await Backlog(database, clock=lambda: NOW).read()
    assert found[DATABASE_UP,] == 1
    assert {key[1]: value for key, value in found.items() if key[0] == PENDING} == {
        "team": 2,
        "mail": 1,
        "idle": 0,
    }
    assert {key[1]: value for key, value in found.items() if key[0] == OLDEST_DUE} == {
        "team": 3600,
        "mail": 0,
        "idle": 0,
    }
    assert not any(value for key, value in found.items() if key[0] == PAUSED)


async def test_on_sqlite_only_the_index_of_what_waits_is_read(tmp_path: Path) -> None:
    async with opened_database(make_settings(tmp_path)) as database:
        rows = await database.fetch(f"EXPLAIN QUERY PLAN {pending_statement('sqlite')}")
        looks = [row["detail"] for row in rows if "delivery" in row["detail"]]
        assert looks == ["SEARCH delivery USING INDEX delivery_due (channel=?)"]
        assert await next_due(database) == {}


async def test_a_database_that_does_not_answer_is_told_and_asked_again_later(
    settings: Settings,
) -> None:
    async with opened_database(settings) as database:
        await add_channel(database, "team")
        await database.writer.execute_query("ALTER TABLE channel_state RENAME TO gone")
        reader = Backlog(database, clock=lambda: NOW)
        assert await reader.read() == {(DATABASE_UP,): 0}
