"""The processes that share a database: what each says of itself, and what the others read."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from almenara import __version__
from almenara.database import Database
from almenara.processes import SILENT, Processes, Role
from almenara.settings import Settings
from almenara.telemetry import process_name
from tests.stored import opened_database

#: One process serves SQLite.
ON_POSTGRES = pytest.mark.parametrize(
    "settings", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """A database with its tables."""
    async with opened_database(settings) as one:
        yield one


async def rows(database: Database) -> int:
    [row] = await database.fetch("SELECT count(*) AS n FROM process")
    return int(row["n"])


async def test_others_read_what_a_process_reported_last(database: Database) -> None:
    clock = Clock()
    roles: tuple[Role, ...] = ("server", "worker")
    server, worker = (Processes(database, role=role, clock=clock) for role in roles)
    await server.report({"sms.Sms": "1"}, {})
    await worker.report({"sms.Sms": "1"}, {})
    await worker.report({"sms.Sms": "2"}, {"fax": "Half a line."})
    if database.dialect == "sqlite":
        # One process serves it: there is nobody to tell.
        assert (await server.others(), await rows(database)) == ([], 0)
        [alone] = await server.everyone()
        assert (alone.name, alone.role, alone.started_at) == (process_name(), "server", NOW)
        assert server.lives(alone)
        await server.leave()
        return
    [one] = await server.others()
    assert (one.name, one.role, one.seen_at) == (process_name(), "worker", NOW)
    assert (one.revisions, one.broken) == ({"sms.Sms": "2"}, {"fax": "Half a line."})
    assert [one.role for one in await worker.others()] == ["server"]
    everyone = await server.everyone()
    assert [(one.role, one.version) for one in everyone] == [
        ("server", __version__),
        ("worker", __version__),
    ]
    assert all(one.pid == os.getpid() and one.host for one in everyone)
    clock.now += SILENT
    assert not any(server.lives(one) for one in everyone)
    clock.now = NOW
    await worker.leave()
    assert await server.others() == []
    assert await rows(database) == 1


@ON_POSTGRES
async def test_one_that_was_killed_counts_no_longer_and_is_forgotten(database: Database) -> None:
    clock = Clock()
    server = Processes(database, role="server", clock=clock)
    killed = Processes(database, role="worker", clock=clock)
    await killed.report({}, {})
    clock.now = NOW + SILENT - timedelta(seconds=1)
    assert len(await server.others()) == 1
    clock.now = NOW + SILENT
    assert await server.others() == []
    await server.report({}, {})
    assert await rows(database) == 2
    clock.now = NOW + timedelta(hours=2)
    await server.report({}, {})
    assert await rows(database) == 1


@ON_POSTGRES
async def test_a_row_without_revisions_is_read(database: Database) -> None:
    server = Processes(database, role="server", clock=Clock())
    worker = Processes(database, role="worker", clock=Clock())
    await worker.report({"sms.Sms": "1"}, {})
    async with database.transaction() as transaction:
        await transaction.execute("UPDATE process SET revisions = NULL, broken = NULL")
    [one] = await server.others()
    assert (one.revisions, one.broken) == ({}, {})
