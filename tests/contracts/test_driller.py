"""What makes the drills of a process: how many at once, and when the database is away."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from almenara.database import Database
from almenara.dispatch import Instances, Verifier
from almenara.drilling import Driller
from almenara.ledger import Ledger
from almenara.limits import LastDrill, ask_for_drill, read_states
from almenara.loader import Plugins
from almenara.models import Channel
from almenara.routing import Routing
from almenara.secrets import open_vault
from almenara.settings import Settings
from tests.serving import until
from tests.stored import NOW, add_channel, in_transaction, opened_database

SOURCE = """
import asyncio

GO_ON = asyncio.Event()
UNDER_WAY = []
MOST = [0]


class Tower:
    def send_message(self, message, background_tasks):
        return None

    async def verify(self):
        UNDER_WAY.append(1)
        MOST[0] = max(MOST[0], len(UNDER_WAY))
        await GO_ON.wait()
        UNDER_WAY.pop()
"""


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with opened_database(settings) as one:
        yield one


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    one = Ledger(database)
    one.start()
    yield one
    await one.close()


@pytest.fixture
async def plugins(settings: Settings) -> Plugins:
    (settings.plugins_dir / "tower").mkdir(parents=True)
    (settings.plugins_dir / "tower" / "tower.py").write_text(SOURCE)
    found = Plugins(settings.plugins_dir, shipped=False)
    await asyncio.to_thread(found.load)
    return found


@pytest.fixture
async def driller(
    settings: Settings, database: Database, ledger: Ledger, plugins: Plugins
) -> AsyncIterator[Driller]:
    instances = Instances(plugins, open_vault(settings))
    one = Driller(
        database=database,
        ledger=ledger,
        routing=Routing(database),
        verifier=Verifier(instances),
        clock=lambda: NOW,
    )
    one.start()
    yield one
    await one.close()


@pytest.fixture
def tower(plugins: Plugins) -> Any:
    return sys.modules[plugins.get("Tower").cls.__module__]


async def due(database: Database, name: str) -> Channel:
    channel_id = await add_channel(database, name)
    async with database.transaction() as transaction:
        await transaction.execute("UPDATE channel SET plugin = 'Tower' WHERE id = $1", channel_id)
        await transaction.execute("UPDATE configuration SET revision = revision + 1")
    channel = await Channel.get(id=channel_id).using_db(database.reader)
    await in_transaction(database, partial(ask_for_drill, channel=channel, now=NOW))
    return channel


async def last(database: Database, channel: Channel) -> LastDrill:
    [state] = await read_states(database, [channel.id])
    return state.drill


def logged(event: str, capsys: pytest.CaptureFixture[str]) -> Callable[[], Any]:
    written: list[str] = []

    async def look() -> bool:
        written.append(capsys.readouterr().out)
        return event in "".join(written)

    return look


async def test_a_few_are_made_at_once_and_all_in_the_end(
    driller: Driller, database: Database, tower: Any
) -> None:
    channels = [await due(database, f"tower{number}") for number in range(7)]

    async def begun() -> bool:
        return len(tower.UNDER_WAY) == 4

    await until(begun)
    tower.GO_ON.set()

    async def ended() -> bool:
        return all([(await last(database, one)).count == 1 for one in channels])

    await until(ended)
    assert tower.MOST == [4]


async def test_a_drill_under_way_does_not_hold_up_the_end(
    driller: Driller, database: Database, tower: Any
) -> None:
    channel = await due(database, "tower")

    async def begun() -> bool:
        return bool(tower.UNDER_WAY)

    await until(begun)
    async with asyncio.timeout(10):
        await driller.close()
    left = await last(database, channel)
    assert left.count == 0
    # Its claim runs out, and another process makes it.
    assert left.due_at is not None
    assert left.due_at > NOW


async def test_what_cannot_be_recorded_is_told_and_made_again(
    driller: Driller,
    database: Database,
    ledger: Ledger,
    tower: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    channel = await due(database, "tower")

    async def begun() -> bool:
        return bool(tower.UNDER_WAY)

    await until(begun)
    await ledger.close()
    tower.GO_ON.set()
    await until(logged("drill_not_recorded", capsys))
    assert (await last(database, channel)).count == 0
    await due(database, "tower2")
    await until(logged("drills_postponed", capsys))


async def test_a_mistake_of_ours_ends_no_looking(
    driller: Driller, database: Database, tower: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    tower.GO_ON.set()
    async with database.transaction() as transaction:
        await transaction.execute("ALTER TABLE channel_state RENAME TO taken_away")
    await until(logged("drills_failed", capsys))
    async with database.transaction() as transaction:
        await transaction.execute("ALTER TABLE taken_away RENAME TO channel_state")
    channel = await due(database, "tower")

    async def made() -> bool:
        return (await last(database, channel)).count >= 1

    await until(made)
