"""The command that shows who changed what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from almenara.cli.client import connect
from almenara.cli.following import MOST_ROWS
from almenara.cli.moments import read_moment, show_moment
from almenara.cli.output import Column, print_json, print_note, print_table
from almenara.cli.words import AsJson


def audit(
    subject: Annotated[str | None, typer.Option(help="Only what this subject did.")] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this, such as `channel.changed`.")
    ] = None,
    thing: Annotated[
        str | None, typer.Option("--object", help="Only to this, such as `channel/team-slack`.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not older: `1h` or an ISO time.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only older: `1h` or an ISO time.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_ROWS, help="How many changes.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List who changed what, newest first: topics, channels, and what was sent again or cancelled.

    Example: `almenara audit --object channel/team-slack --since 7d`
    """
    now = datetime.now(UTC)
    query = {
        "subject": subject,
        "action": action,
        "object": thing,
        "since": read_moment(since, "--since", now=now),
        "until": read_moment(until, "--until", now=now),
    }
    page = connect().get("/v1/audit", **query, limit=limit)
    if as_json:
        print_json(page)
        return
    columns = [
        Column("time", whole=True),
        Column("subject", one_line=True),
        Column("action", whole=True),
        Column("object", one_line=True),
        Column("changed", one_line=True),
    ]
    rows = [
        (
            show_moment(one["created_at"]),
            one["subject"] or "",
            one["action"],
            one["object"],
            _changed(one["before"], one["after"]),
        )
        for one in page.body["data"]
    ]
    print_table(columns, rows, empty="Nothing was changed.")
    if page.body["next_cursor"]:
        print_note("There are older ones; see --limit, --until.")


def _changed(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    """Name what differs, each with its new value; everything, where there is no before."""
    if before is None or after is None:
        return ", ".join(f"{name}={value}" for name, value in (after or {}).items())
    names = [name for name in after if after[name] != before.get(name)]
    return ", ".join(f"{name}: {before.get(name)} > {after[name]}" for name in names)
