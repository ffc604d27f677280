"""Fixtures that run a test over both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from almenara.settings import Settings
from tests.serving import Client, make_settings, served
from tests.tables import drop_tables

BOTH = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgres", id="postgres", marks=pytest.mark.postgres),
]


@pytest.fixture(params=BOTH)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with a fresh database, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return make_settings(tmp_path)
    url = request.getfixturevalue("postgres_url")
    emptied(url)
    return make_settings(tmp_path, url)


def emptied(url: str) -> None:
    """Empty the database of this run, which is cheaper than a new one for each test."""
    # A fixture of an async test may itself be called inside a running loop.
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(asyncio.run, drop_tables(url)).result()


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    """A client of a served Almenara, on SQLite and on PostgreSQL."""
    async with served(settings) as one:
        yield one
