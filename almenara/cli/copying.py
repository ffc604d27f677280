"""The command that moves from SQLite to PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from almenara.cli.output import print_line
from almenara.cli.progress import progress
from almenara.settings import read_settings

if TYPE_CHECKING:
    from almenara.copying import CopiedTable

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for machines.")]


def copy_database(as_json: AsJson = False) -> None:
    """Copy the SQLite database in `ALMENARA_DATA_DIR` into an empty PostgreSQL database.

    That one is named by `ALMENARA_DATABASE_URL`. The server must not run meanwhile; the SQLite
    database stays as it is. All is copied and compared, or nothing is kept.
    """
    from almenara.copying import copy_database as copy

    settings = read_settings()
    with progress() as tell:
        tables = asyncio.run(copy(settings, tell))
    if as_json:
        rows = [{"table": one.name, "row_count": one.row_count} for one in tables]
        typer.echo(json.dumps({"data": rows}))
    else:
        _show(tables)


def _show(tables: list[CopiedTable]) -> None:
    width = max(len(one.name) for one in tables)
    for one in tables:
        print_line(f"{one.name:{width}}  {one.row_count:>12,}")
    print_line(
        "Copied, and found to be the same. Start the server with the ALMENARA_DATABASE_URL and "
        "ALMENARA_SECRET_KEY of this command."
    )
