"""The command that reads the log: newest messages first, or following what comes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from almenara.cli.client import connect
from almenara.cli.completing import channel_names, topic_names
from almenara.cli.following import MOST_ROWS, Looks, follow_news
from almenara.cli.moments import read_moment, show_moment, show_short
from almenara.cli.output import Column, line_width, one_line, print_json, print_note, print_table
from almenara.cli.words import AsJson

#: The length of an id, which a table never cuts.
_ID_WIDTH = 36

#: Below this, a message's text stands under its id instead of beside it.
_WIDE_ENOUGH = 120

_TOPIC_WIDTH = 16
#: While following, where the next lines are not known yet.
_WIDTHS = {"status": 9, "topic": _TOPIC_WIDTH, "id": _ID_WIDTH}


def log(
    topic: Annotated[
        str | None, typer.Option(help="Only this topic.", autocompletion=topic_names)
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(
            help="Only messages with a delivery for this channel.", autocompletion=channel_names
        ),
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="Only this status, such as `failed` or `partial`.")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Only this reference of yours.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not older: `1h` or an ISO time.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only older: `1h` or an ISO time.")
    ] = None,
    q: Annotated[str | None, typer.Option("--q", help="Only with this in title or text.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_ROWS, help="How many messages.")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, newest last.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List messages, newest first.

    Example: `almenara log --status failed --since 2d`

    Following shows a message when it comes and once more when it is settled; with `--json`, one
    line of JSON each. It goes on when the server was away, and shows what came meanwhile. Ctrl-C
    ends it, with 0.
    """
    now = datetime.now(UTC)
    filters = {
        "topic": topic,
        "channel": channel,
        "status": status,
        "reference": reference,
        "since": read_moment(since, "--since", now=now),
        "until": read_moment(until, "--until", now=now),
        "q": q,
    }
    look = Looks(connect(), filters)
    if follow:
        follow_news(look, limit, _print_lines if as_json else _print_joined)
        return
    page = look.page(limit)
    if as_json:
        print_json(page)
        return
    _print_messages(page.body["data"], fixed=False)
    if page.body["next_cursor"]:
        print_note("There are older ones; see --limit, --until.")


def _print_lines(messages: Sequence[Any]) -> None:
    for message in messages:
        print(json.dumps(message, ensure_ascii=False), flush=True)


def _print_joined(messages: Sequence[Any]) -> None:
    if messages:
        _print_messages(messages, fixed=True)


def _print_messages(messages: Sequence[Any], *, fixed: bool) -> None:
    """Write messages as a table; with ``fixed``, without a head, so that tables join."""
    widths = _WIDTHS if fixed else {}
    wide = line_width() >= _WIDE_ENOUGH
    now = datetime.now(UTC)
    columns = [
        Column("time", whole=True, width=(19 if wide else 11) if fixed else None),
        Column("status", whole=True, status=True, width=widths.get("status")),
        Column("topic", one_line=True, width=widths.get("topic")),
    ]
    rows = [
        (
            show_moment(one["created_at"]) if wide else show_short(one["created_at"], now=now),
            one["status"],
            (one["topic"] or "") if wide else one_line(one["topic"] or "", _TOPIC_WIDTH),
        )
        for one in messages
    ]
    contents: list[tuple[str, ...]] = [(one["id"], _preview(one)) for one in messages]
    if wide:
        columns += [
            Column("message", whole=True, width=widths.get("id")),
            Column("text", one_line=True),
        ]
    else:
        columns += [Column("message", one_line=True, least=_ID_WIDTH)]
        contents = [("\n".join(content),) for content in contents]
    print_table(
        columns,
        [(*row, *content) for row, content in zip(rows, contents, strict=True)],
        empty="No messages.",
        header=not fixed,
    )


def _preview(message: Any) -> str:
    if message["redacted_at"]:
        return "(redacted)"
    title, text = message["title"], message["description"]
    return one_line(f"{title}: {text}" if title else text)
