"""The command that seals every secret anew."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from almenara.cli.output import print_line
from almenara.cli.words import AsJson
from almenara.settings import read_settings


def rotate_secrets(
    new_key: Annotated[
        bool,
        typer.Option("--new-key", help="Make a new key in the data directory before (SQLite)."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Seal the secrets of every channel anew with the present key: all of them, or none.

    On SQLite stop the server before. On PostgreSQL the servers and workers go on, if each knows the
    present key (ALMENARA_SECRET_KEY) and the one before (ALMENARA_SECRET_KEYS_OLD).
    """
    from almenara.rotating import rotate_secrets as rotate

    done = asyncio.run(rotate(read_settings(), new_key=new_key))
    if as_json:
        print_line(json.dumps({"channels": done.channel_count, "secrets": done.secret_count}))
    elif done.secret_count:
        print_line(f"Sealed {done.secret_count} secrets of {done.channel_count} channels anew.")
    else:
        print_line("Every secret is sealed with the present key already.")
