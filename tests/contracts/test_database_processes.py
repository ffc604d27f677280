"""Several processes that read and then write in one SQLite file, each in its turn."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from almenara.database import open_database
from almenara.settings import Settings
from tests.serving import make_settings

PROCESSES = 3
TRANSACTIONS = 100
PATIENCE_SECONDS = 45

#: Each reads a number and writes the next one, again and again, as soon as it is told to.
_COUNT_UP = """
import asyncio, sys
from almenara.database import open_database
from almenara.settings import read_settings

async def main():
    database = await open_database(read_settings())
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        for _ in range(int(sys.argv[1])):
            async with database.transaction() as transaction:
                [row] = await transaction.fetch("SELECT number FROM counter")
                await transaction.execute("UPDATE counter SET number = $1", row["number"] + 1)
            await asyncio.sleep(0.001)
    finally:
        await database.close()

asyncio.run(main())
"""


def counting(settings: Settings) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _COUNT_UP, str(TRANSACTIONS)],
        env=os.environ | {"ALMENARA_DATA_DIR": str(settings.data_dir)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def test_three_processes_that_read_and_then_write_never_find_the_database_locked(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path)
    await _write_counter(settings)
    children = [counting(settings) for _ in range(PROCESSES)]
    try:
        assert [said(one) for one in children] == ["ready"] * PROCESSES
        for one in children:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        ends = [one.communicate(timeout=PATIENCE_SECONDS)[1] for one in children]
    finally:
        for one in children:
            one.kill()
            one.communicate()
    assert ends == [""] * PROCESSES
    assert [one.returncode for one in children] == [0] * PROCESSES
    with closing(sqlite3.connect(settings.database_file)) as connection:
        [(number,)] = connection.execute("SELECT number FROM counter")
    assert number == PROCESSES * TRANSACTIONS


async def _write_counter(settings: Settings) -> None:
    database = await open_database(settings)
    async with database.transaction() as transaction:
        await transaction.execute("CREATE TABLE counter (number INTEGER)")
        await transaction.execute("INSERT INTO counter VALUES (0)")
    await database.close()
