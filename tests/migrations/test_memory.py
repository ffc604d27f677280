"""A server that makes its tables at its first start does not keep what that took."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from tortoise.migrations.operations import RemoveField

from almenara.database import open_database
from almenara.migrations import is_empty, migrate
from almenara.settings import Settings

_PROGRAM = """
import asyncio, gc, sys
from almenara.database import open_database
from almenara.migrations import migrate
from almenara.models import Message
from almenara.settings import read_settings

async def main():
    gc.disable()
    database = await open_database(read_settings({"ALMENARA_DATA_DIR": sys.argv[1]}))
    try:
        assert await migrate(database)
    finally:
        await database.close()
    print(sum(one.__name__ == "Message" for one in Message.__base__.__subclasses__()))

asyncio.run(main())
"""


def test_the_copies_of_the_models_are_gone_when_the_tables_are_there(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3_000:]
    # The model itself, and at most the copy that the last operation worked on, not dozens.
    assert int(finished.stdout) <= 2


async def test_an_operation_that_looks_back_is_refused_in_words(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = import_module("almenara.migrations.0001_initial").Migration
    backwards = [*first.operations, RemoveField("Channel", "name")]
    monkeypatch.setattr(first, "operations", backwards)
    database = await open_database(settings)
    try:
        with pytest.raises(NotImplementedError, match="looks at the apps before it"):
            await migrate(database)
        assert await is_empty(database)
    finally:
        await database.close()
