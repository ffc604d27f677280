"""Following the log: where its news come from, and how a break is survived."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from almenara.cli.client import Answer, RefusedError, Server, path_to
from almenara.cli.exits import ExitCode, exit_code
from almenara.cli.output import print_note
from almenara.errors import AlmenaraError

#: The pause between two looks, in seconds.
FOLLOW_SECONDS = 1.0

#: The pause while the server is away: it grows up to this.
LONGEST_PAUSE_SECONDS = 10.0

#: The longest page that the server gives.
MOST_ROWS = 250

#: One look reads no more pages than this; what is older is said to be left out.
MOST_PAGES = 40

#: Of what was told before it was settled and stands on no page any more, so many are asked for in
#: one look, in turn.
MOST_ASKED = 10

#: So many messages are known by heart while following.
REMEMBERED = 20_000

#: Message statuses after which nothing happens by itself.
_SETTLED = frozenset({"sent", "partial", "failed", "held", "cancelled", "no_route"})

#: What a message's story has and the list has not.
_STORY_ALONE = frozenset({"deliveries", "timeline"})

#: What passes: the server is started anew, a proxy has nobody behind it, a network is away.
_PASSING = frozenset({ExitCode.UNREACHABLE, ExitCode.LATER})

Write = Callable[[Sequence[Any]], None]


class News(Protocol):
    """Where the news of the log come from."""

    def begin(self, limit: int) -> list[Any]:
        """Return the newest messages, oldest first."""

    def look(self) -> list[Any]:
        """Return what came or was settled since, oldest first; called again after a failure."""


def follow_news(news: News, limit: int, write: Write) -> None:
    """Write what comes until Ctrl-C, which is the usual end and no failure.

    Args:
        limit: how many messages to begin with.

    Raises:
        AlmenaraError: it cannot begin, or cannot go on by waiting.
    """
    try:
        write(news.begin(limit))
        while True:
            time.sleep(FOLLOW_SECONDS)
            write(_next_look(news))
    except KeyboardInterrupt:
        return


def _next_look(news: News) -> list[Any]:
    """Look once, as often as it takes."""
    pause, told = FOLLOW_SECONDS, False
    while True:
        try:
            found = news.look()
        except AlmenaraError as error:
            if exit_code(error) not in _PASSING:
                raise
            if not told:
                print_note(f"{error.message} Trying again.")
                told = True
        else:
            if told:
                print_note("The server answers again.")
            return found
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


class Looks:
    """News from looking into the log again and again: works with every server and proxy."""

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
        news = self._take_news(reversed(messages))
        return news + self._take_news(self._far_away({one["id"] for one in messages}))

    def _far_away(self, near: set[str]) -> list[Any]:
        """Return some messages that may have settled, though too many newer ones came since."""
        if self._filters.get("status") is not None:
            # What has settled has left the list that is followed.
            return []
        unsettled = [
            id_ for id_, status in self._known.items() if status not in _SETTLED and id_ not in near
        ]
        found = []
        for id_ in unsettled[:MOST_ASKED]:
            try:
                story = self._server.get(path_to("messages", id_)).body
            except RefusedError as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
                del self._known[id_]
            else:
                found.append({name: story[name] for name in story if name not in _STORY_ALONE})
        return found

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
