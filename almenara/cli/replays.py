"""The commands that send many deliveries again: replay, and what replays there are."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer

from almenara.cli.catalogue import given
from almenara.cli.client import Answer, Server, connect, path_to
from almenara.cli.completing import channel_names, topic_names
from almenara.cli.exits import ExitCode
from almenara.cli.groups import new_group
from almenara.cli.messages import FIRST_LOOK_SECONDS, LONGEST_LOOK_SECONDS
from almenara.cli.moments import read_moment, show_moment
from almenara.cli.output import (
    Column,
    print_fields,
    print_json,
    print_line,
    print_note,
    print_table,
)
from almenara.cli.words import AsJson

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of a replay.")]

#: Called with a replay as it stands, whenever it was looked at.
Tell = Callable[[Mapping[str, Any]], None]


def replay(
    channel: Annotated[
        str | None,
        typer.Option(help="Only through this channel.", autocompletion=channel_names),
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="Only messages of this topic.", autocompletion=topic_names)
    ] = None,
    status: Annotated[
        Literal["failed", "cancelled", "sent"] | None,
        typer.Option(help="Only this status; left out, what failed or was cancelled."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only this reason, such as `exhausted` or `permanent`.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not older: `1h` or an ISO time.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only older: `1h` or an ISO time.")
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(metavar="RATE", help="No more than that: `10/s`, `30/m`, `500/h`."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count them and show some.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait until it is done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send what failed or was cancelled again, as new deliveries.

    Example: `almenara replay --channel team-slack --since 2d --rate 10/s`

    It shows how many there are and asks before it begins; what was sent again already is not sent
    again. The server does the work: Ctrl-C ends only the watching.
    """
    now = datetime.now(UTC)
    body = given(
        channel=channel,
        topic=topic,
        status=status,
        reason=reason,
        since=read_moment(since, "--since", now=now),
        until=read_moment(until, "--until", now=now),
        rate=rate,
    )
    if not (dry_run or yes) and (as_json or not sys.stdin.isatty()):
        raise typer.BadParameter("There is nobody to ask; add --yes.", param_hint="--yes")
    server = connect()
    if dry_run or not yes:
        _show_found(server.post("/v1/replays", body | {"dry_run": True}), as_json=as_json)
    if dry_run:
        return
    if not yes and not typer.confirm("Send them again?", err=True):
        raise typer.Exit(ExitCode.NOT_DONE)
    created = server.post("/v1/replays", body)
    if detach:
        _show_begun(created, as_json=as_json)
    else:
        _follow(server, created.body, as_json=as_json)


def list_replays(as_json: AsJson = False) -> None:
    """List the newest replays and how far each has come."""
    answer = connect().get("/v1/replays")
    if as_json:
        print_json(answer)
        return
    print_table(
        (
            Column("time", whole=True),
            Column("status", whole=True, status=True),
            Column("sent again", whole=True),
            Column("of", whole=True),
            Column("replay", whole=True),
            Column("filters"),
        ),
        [
            (
                show_moment(one["created_at"]),
                one["status"],
                str(one["resent_count"]),
                str(one["total_count"]),
                one["id"],
                _filters(one),
            )
            for one in answer.body["data"]
        ],
        empty="No replays yet: `almenara replay --channel CHANNEL` makes one.",
    )


def show_replay(replay_id: Id, as_json: AsJson = False) -> None:
    """Show one replay: how far it is, and what became of what it sent again."""
    _show(connect().get(path_to("replays", replay_id)), as_json=as_json)


def cancel_replay(replay_id: Id, as_json: AsJson = False) -> None:
    """Stop a replay; what it has sent again stays."""
    _show(connect().call("DELETE", path_to("replays", replay_id)), as_json=as_json)


replays = new_group("Replays: many deliveries sent again.", list_replays)
replays.command("list")(list_replays)
replays.command("show")(show_replay)
replays.command("cancel")(cancel_replay)


def _follow(server: Server, begun: Mapping[str, Any], *, as_json: bool) -> None:
    """Watch a replay until it has ended, and say how it did."""
    path = path_to("replays", begun["id"])
    try:
        with _progress(begun) as tell:
            pause = FIRST_LOOK_SECONDS
            while (answer := server.get(path)).body["status"] == "running":
                tell(answer.body)
                time.sleep(pause)
                pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)
            tell(answer.body)
    except KeyboardInterrupt:
        print_note(
            f"The replay goes on in the server: `almenara replays show {begun['id']}` looks how "
            f"far it is, `almenara replays cancel {begun['id']}` stops it."
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if as_json:
        print_json(answer)
    else:
        print_line(_outcome(answer.body))
    if answer.body["status"] != "done":
        raise typer.Exit(ExitCode.NOT_DONE)


@contextmanager
def _progress(begun: Mapping[str, Any]) -> Iterator[Tell]:
    """Show a bar on a terminal; elsewhere nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    columns = (
        TextColumn("Sending again", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[came]}", markup=False),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        line = bar.add_task("", total=begun["total_count"], came="")

        def tell(one: Mapping[str, Any]) -> None:
            # A failover chain is sent again whole, which may be more than was found.
            looked_at = min(one["resent_count"] + one["skipped_count"], one["total_count"])
            bar.update(line, completed=looked_at, came=_came(one["deliveries"]))

        yield tell


def _show_found(answer: Answer, *, as_json: bool) -> None:
    """Say what would be sent again."""
    if as_json:
        print_json(answer)
        return
    found = answer.body
    count = f"{'More than ' if found['count_is_capped'] else ''}{found['count']:,}"
    what = "delivery" if found["count"] == 1 else "deliveries"
    print_line(f"{count} {what} would be sent again.")
    print_table(
        (
            Column("time", whole=True),
            Column("channel"),
            Column("status", whole=True, status=True),
            Column("reason"),
            Column("message", whole=True),
        ),
        [
            (
                show_moment(one["created_at"]),
                one["channel"],
                one["status"],
                one["reason"] or "",
                one["message_id"],
            )
            for one in found["sample"]
        ],
    )
    if found["count"] > len(found["sample"]):
        print_note("These are the oldest of them.")


def _show_begun(created: Answer, *, as_json: bool) -> None:
    if as_json:
        print_json(created)
    else:
        one = created.body
        print_line(f"Replay {one['id']} has begun: {one['total_count']:,} to send again.")


def _show(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    one = answer.body
    print_fields(
        [
            ("replay", one["id"]),
            ("status", one["status"]),
            ("filters", _filters(one)),
            ("rate", one["rate"] or ""),
            ("found", f"{one['total_count']:,}"),
            ("sent again", f"{one['resent_count']:,}"),
            ("left out", f"{one['skipped_count']:,}"),
            ("of these", _came(one["deliveries"])),
            ("asked by", one["requested_by"] or ""),
            ("begun", show_moment(one["created_at"])),
            ("ended", show_moment(one["finished_at"])),
        ]
    )


def _outcome(one: Mapping[str, Any]) -> str:
    """Return how a replay ended, in one sentence or two."""
    left_out = f", {one['skipped_count']:,} left out" if one["skipped_count"] else ""
    came = _came(one["deliveries"])
    return (
        f"Replay {one['id']} is {one['status']}: {one['resent_count']:,} sent again{left_out}"
        f"{f'; by now {came}' if came else ''}."
    )


def _came(deliveries: Mapping[str, int]) -> str:
    """Return where deliveries stand, those that there are."""
    return ", ".join(f"{count:,} {status}" for status, count in deliveries.items() if count)


def _filters(one: Mapping[str, Any]) -> str:
    written = {
        name: show_moment(value) if name in {"since", "until"} else value
        for name, value in one["filters"].items()
        if value is not None
    }
    return ", ".join(f"{name} {value}" for name, value in written.items())
