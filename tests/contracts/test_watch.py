"""The watch over plugin files in a process whose other parts are in trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from almenara import watch as watching
from almenara.announce import Announcer
from almenara.database import Database
from almenara.dispatch import Instances
from almenara.ledger import Ledger
from almenara.loader import Change, Plugins
from almenara.processes import Processes
from almenara.routing import Routing
from almenara.secrets import Vault
from almenara.sending import utc_now
from almenara.settings import Settings
from almenara.watch import Watch
from tests.serving import until
from tests.stored import add_channel, add_topic, count, opened_database

PLUGIN = "class {name}:\n    def send_message(self, message, background_tasks): ...\n"


class World:
    """A watch with what it tells."""

    def __init__(self, database: Database, directory: Path) -> None:
        routing = Routing(database)
        self.database, self.directory = database, directory
        self.ledger = Ledger(database, announce=Announcer(routing))
        self.plugins = Plugins(directory, shipped=False)
        self.watch = Watch(
            plugins=self.plugins,
            instances=Instances(self.plugins, Vault(bytes(32))),
            ledger=self.ledger,
            processes=Processes(database, role="server", clock=utc_now),
            clock=utc_now,
            seconds=0.01,
        )
        self.routing = routing

    def write(self, name: str, text: str) -> None:
        file = self.directory / name / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    async def found(self, name: str) -> None:
        async def look() -> bool:
            return any(one.name == name for one in self.plugins.found)

        await until(look)


@pytest.fixture
async def world(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(watching, "REPORT_SECONDS", 0.05)
    async with opened_database(settings) as database:
        one = World(database, tmp_path / "plugins")
        yield one
        await one.watch.close()
        await one.ledger.close()


async def test_what_cannot_be_told_now_is_told_later(world: World) -> None:
    await add_topic(
        world.database, "almenara.plugin-broken", await add_channel(world.database, "team")
    )
    await world.routing.refresh()
    world.write("sms", "class Sms:")
    world.plugins.load()
    # The ledger does not run yet.
    await world.watch.start()
    assert await count(world.database, "message") == 0
    world.ledger.start()

    async def told() -> bool:
        return await count(world.database, "message") > 0

    await until(told)
    world.write("fax", PLUGIN.format(name="Fax"))
    await world.found("Fax")
    world.write("pager", "class Pager:")

    async def both() -> bool:
        return await count(world.database, "message") > 1

    await until(both)
    assert await count(world.database, "message") == 2


async def test_a_look_that_fails_is_not_the_last(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, failures = world.plugins.look, iter([OSError("no"), RuntimeError("no")])

    def failing() -> Change | None:
        for error in failures:
            raise error
        return look()

    monkeypatch.setattr(world.plugins, "look", failing)
    world.ledger.start()
    await world.watch.start()
    world.write("fax", PLUGIN.format(name="Fax"))
    await world.found("Fax")
    assert list(failures) == []


async def test_a_change_that_cannot_be_followed_is_not_the_last(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = asyncio.Event()
    report = Processes.report

    async def reported(self: Processes, revisions: Any, broken: Any) -> None:
        if "pager.Pager" in revisions:
            seen.set()
        await report(self, revisions, broken)

    async def failing(self: Instances) -> None:
        if len(world.plugins.found) == 1:
            raise RuntimeError("no")

    monkeypatch.setattr(Processes, "report", reported)
    monkeypatch.setattr(Instances, "close_retired", failing)
    world.ledger.start()
    await world.watch.start()
    world.write("fax", PLUGIN.format(name="Fax"))
    await world.found("Fax")
    world.write("pager", PLUGIN.format(name="Pager"))
    async with asyncio.timeout(30):
        await seen.wait()


async def test_a_report_that_cannot_be_written_stops_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(self: Processes, *_: Any) -> None:
        raise OSError("the database is away")

    monkeypatch.setattr(Processes, "report", failing)
    monkeypatch.setattr(Processes, "leave", failing)
    world.ledger.start()
    await world.watch.start()
    world.write("fax", PLUGIN.format(name="Fax"))
    await world.found("Fax")
    await world.watch.close()
