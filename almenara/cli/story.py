"""A message as people read it: what it is, where it stands, and its time line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from almenara.cli.moments import show_exact, show_moment, show_short
from almenara.cli.output import Column, print_fields, print_line, print_table

#: Delivery statuses after which nothing happens by itself.
SETTLED = frozenset({"sent", "failed", "held", "cancelled"})

_PLAIN = {"format": "text", "priority": 3}

_DELIVERIES = (
    Column("channel"),
    Column("status", whole=True, status=True),
    Column("attempts", whole=True),
    Column("id", whole=True),
    Column("remarks"),
)
_TIME_LINE = (
    Column("time", whole=True),
    Column("channel"),
    Column("what", whole=True, status=True),
    Column("details"),
)


def is_settled(story: Mapping[str, Any]) -> bool:
    """Tell whether nothing of a message will happen by itself any more."""
    return all(one["status"] in SETTLED for one in story["deliveries"])


def is_sent(story: Mapping[str, Any]) -> bool:
    """Tell whether every delivery of a message that still counts was sent, and there is one.

    A delivery that was sent again does not count: the newer one stands for it.
    """
    deliveries = story["deliveries"]
    replaced = {one["resend_of"] for one in deliveries}
    counting = [one for one in deliveries if one["id"] not in replaced]
    return bool(counting) and all(one["status"] == "sent" for one in counting)


def print_story(story: Mapping[str, Any]) -> None:
    """Write a message with all that happened to it."""
    print_fields(_fields(story))
    print_line("")
    print_line(_text(story))
    print_line("")
    _print_table(story["deliveries"])
    print_line("")
    _print_time_line(story)


def _text(story: Mapping[str, Any]) -> str:
    if story["redacted_at"]:
        return "Its texts were dropped when it was finished: its topic asks for it."
    return str(story["description"])


def print_deliveries(deliveries: Sequence[Mapping[str, Any]]) -> None:
    """Write where deliveries stand, and what came of the last attempt of each."""
    _print_table(deliveries)
    for one in deliveries:
        if one["attempts"]:
            last = one["attempts"][-1]
            said = [last["error"], last["detail"], _reference(last)]
            if any(said):
                print_line(f"{one['channel']}: {'; '.join(text for text in said if text)}")


def _print_table(deliveries: Sequence[Mapping[str, Any]]) -> None:
    now = datetime.now(UTC)
    print_table(
        _DELIVERIES,
        [
            (
                one["channel"],
                one["status"],
                str(len(one["attempts"])),
                one["id"],
                "; ".join(_remarks(one, now)),
            )
            for one in deliveries
        ],
        empty="No delivery: its topic has no enabled channel.",
    )


def _fields(story: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "message", story["id"]
    yield "status", story["status"]
    yield "topic", story["topic"] or ""
    yield "title", story["title"] or ""
    for name, usual in _PLAIN.items():
        yield name, "" if story[name] == usual else str(story[name])
    yield "tags", ", ".join(story["tags"])
    yield "attachments", ", ".join(one["name"] for one in story["attachments"])
    yield "to", ", ".join(story["to"])
    yield "reference", story["reference"] or ""
    for name in ("data", "metadata"):
        yield name, json.dumps(story[name], ensure_ascii=False) if story[name] else ""
    yield "accepted", show_moment(story["created_at"])
    yield "send at", show_moment(story["send_at"])
    yield "redacted", show_moment(story["redacted_at"])


def _remarks(delivery: Mapping[str, Any], now: datetime) -> Iterator[str]:
    if delivery["reason"]:
        yield str(delivery["reason"])
    if delivery["status"] == "pending":
        yield f"due {show_short(delivery['due_at'], now=now)}"
    if delivery["resend_of"]:
        yield "sent again"


def _print_time_line(story: Mapping[str, Any]) -> None:
    """Write what happened, in its order over all channels."""
    begin = story["created_at"]
    print_table(
        _TIME_LINE,
        [
            (
                show_exact(one["at"], since=begin),
                one["channel"] or "",
                one["event"].replace("_", " "),
                one["text"],
            )
            for one in story["timeline"]
        ],
    )


def _reference(attempt: Mapping[str, Any]) -> str:
    return f"reference {attempt['reference']}" if attempt["reference"] else ""
