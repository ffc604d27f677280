"""Fixtures that run a test over both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from almenara.settings import Settings
from tests.serving import Client, make_settings, served

BOTH = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgres", id="postgres", marks=pytest.mark.postgres),
]


@pytest.fixture(params=BOTH)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with a fresh database, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return make_settings(tmp_path)
    make = request.getfixturevalue("postgres_database")
    return make_settings(tmp_path, make())


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    """A client of a served Almenara, on SQLite and on PostgreSQL."""
    async with served(settings) as one:
        yield one
