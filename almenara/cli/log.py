"""The command that reads the log: newest messages first, or following what comes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from almenara.cli.client import Answer, Server, connect
from almenara.cli.messages import AsJson
from almenara.cli.moments import read_moment, show_moment, show_short
from almenara.cli.output import Column, line_width, one_line, print_json, print_note, print_table

#: The pause between two looks of `log --follow`, in seconds.
FOLLOW_SECONDS = 1.0

#: The longest page that the server gives.
MOST_ROWS = 250

#: One look reads no more pages than this; what is older is said to be left out.
MOST_PAGES = 40

#: So many messages are known by heart while following.
REMEMBERED = 20_000

#: Message statuses after which nothing happens by itself.
_SETTLED = frozenset({"sent", "partial", "failed", "held", "cancelled", "no_route"})

#: Below this, a message's text stands under its id instead of beside it.
_WIDE_ENOUGH = 120

_TOPIC_WIDTH = 16
#: While following, where the next lines are not known yet.
_WIDTHS = {"status": 9, "topic": _TOPIC_WIDTH, "id": 36}


def log(
    topic: Annotated[str | None, typer.Option(help="Only this topic.")] = None,
    channel: Annotated[
        str | None, typer.Option(help="Only messages with a delivery for this channel.")
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
    line of JSON each. Ctrl-C ends it.
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
    follower = Follower(connect(), filters)
    if follow:
        _follow(follower, limit, as_json=as_json)
        return
    page = follower.page(limit)
    if as_json:
        print_json(page)
        return
    _print_messages(page.body["data"], fixed=False)
    if page.body["next_cursor"]:
        print_note("There are older ones; see --limit, --until.")


class Follower:
    """Looks into the log again and again, and tells what is new."""

    def __init__(self, server: Server, filters: dict[str, str | None]) -> None:
        self._server = server
        self._filters = filters
        #: What was told already: id -> status, the latest seen last.
        self._known: dict[str, str] = {}

    def page(self, limit: int, cursor: str | None = None) -> Answer:
        """Return one page of the messages that are looked for."""
        return self._server.get("/v1/messages", **self._filters, limit=limit, cursor=cursor)

    def begin(self, limit: int) -> list[Any]:
        """Return the newest messages, oldest first; everything there is now is known hereafter."""
        messages = self.page(MOST_ROWS).body["data"]
        self._take_news(reversed(messages))
        return list(reversed(messages[:limit]))

    def look(self) -> list[Any]:
        """Return what came since, oldest first, and what has settled since it was told."""
        messages: list[Any] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = self.page(MOST_ROWS, cursor).body
            messages += page["data"]
            reaches_known = any(one["id"] in self._known for one in page["data"])
            cursor = page["next_cursor"]
            if reaches_known or cursor is None or len(page["data"]) < MOST_ROWS:
                break
        else:
            print_note(f"More than {MOST_PAGES * MOST_ROWS} came; older ones are left out here.")
        return self._take_news(reversed(messages))

    def _take_news(self, messages: Any) -> list[Any]:
        news = []
        for message in messages:
            status = message["status"]
            told = self._known.pop(message["id"], None)
            self._known[message["id"]] = status
            if told is None or (told != status and status in _SETTLED):
                news.append(message)
        for oldest in list(self._known)[: max(0, len(self._known) - REMEMBERED)]:
            del self._known[oldest]
        return news


def _follow(follower: Follower, limit: int, *, as_json: bool) -> None:
    """Write what comes until Ctrl-C, which is the usual end and no failure."""
    try:
        messages = follower.begin(limit)
        while True:
            if as_json:
                for message in messages:
                    print(json.dumps(message, ensure_ascii=False), flush=True)
            elif messages:
                _print_messages(messages, fixed=True)
            time.sleep(FOLLOW_SECONDS)
            messages = follower.look()
    except KeyboardInterrupt:
        return


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
        columns += [Column("message", one_line=True)]
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
