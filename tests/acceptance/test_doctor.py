"""`almenara check` on what a set-up stands on: its disk, its clock, the versions of the others."""

from __future__ import annotations

import platform
import shutil
import sqlite3
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from almenara.check import check_set_up
from almenara.machine import Finding, look_at_clock, look_at_disk
from almenara.sending import opened
from almenara.settings import Settings
from tests.databases import settings
from tests.serving import make_settings, served

__all__ = ["settings"]

Usage = namedtuple("Usage", "total used free")
GIB = 1 << 30


async def found(settings: Settings, subject: str) -> Finding:
    [finding] = [one for one in await check_set_up(settings) if one.subject == subject]
    return finding


@pytest.mark.parametrize(
    ("total", "free", "level"),
    [
        (100 * GIB, 50 * GIB, "ok"),
        (100 * GIB, 5 * GIB, "ok"),
        (100 * GIB, 5 * GIB - 1, "warning"),
        (2 * GIB, GIB, "ok"),
        (2 * GIB, GIB - 1, "warning"),
    ],
)
def test_a_disk_with_little_room_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int, free: int, level: str
) -> None:
    asked = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(total, total - free, free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    [finding] = look_at_disk(make_settings(tmp_path))
    # The data directory is not there yet, and is not made by looking.
    assert asked == [tmp_path]
    assert (finding.subject, finding.level) == ("disk", level)
    assert ("Make room" in finding.message) == (level == "warning")


async def test_the_disk_of_a_real_set_up_is_measured(tmp_path: Path) -> None:
    finding = await found(make_settings(tmp_path), "disk")
    assert "GiB" in finding.message


async def test_a_clock_before_the_newest_message_is_told(tmp_path: Path) -> None:
    one = make_settings(tmp_path)
    async with served(one, clock=lambda: datetime.now(UTC) + timedelta(hours=1)) as client:
        sent = await client.post("/v1/messages", {"topic": "hello", "description": "x"})
        assert sent.status == 202
    finding = await found(one, "clock")
    assert finding.level == "warning"
    assert "before the newest message" in finding.message
    assert "NTP" in finding.message


@pytest.mark.postgres
@pytest.mark.parametrize(("seconds", "level"), [(0, "ok"), (90, "warning"), (-90, "warning")])
async def test_a_clock_that_differs_from_postgresqls_is_told(
    tmp_path: Path, postgres_url: str, seconds: int, level: str
) -> None:
    async with opened(make_settings(tmp_path, postgres_url)) as database:
        finding = await look_at_clock(
            database, lambda: datetime.now(UTC) + timedelta(seconds=seconds), has_tables=False
        )
    assert finding.level == level
    assert ("by 90 s" in finding.message or "by 89 s" in finding.message) == (level == "warning")


async def test_the_versions_are_named(settings: Settings) -> None:
    finding = await found(settings, "versions")
    assert finding.level == "ok"
    assert f"Python {platform.python_version()}, " in finding.message
    if settings.uses_sqlite:
        assert f"SQLite {sqlite3.sqlite_version}." in finding.message
        old = sqlite3.sqlite_version_info < (3, 51, 3)
        assert ("Before 3.51.3" in finding.message) == old
    else:
        assert "PostgreSQL 1" in finding.message
