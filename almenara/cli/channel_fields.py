"""A channel as people read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from almenara.cli.catalogue import yes_or_no
from almenara.cli.moments import show_moment, show_short
from almenara.cli.output import print_fields
from almenara.cli.templates import template_fields


def describe_state(channel: Mapping[str, Any]) -> str:
    """Say whether a channel is paused, and why."""
    reason = channel["state_reason"]
    return f"{channel['state']}: {reason}" if reason else str(channel["state"])


def describe_drill(channel: Mapping[str, Any], *, now: datetime | None = None) -> str:
    """Say what the last drill came to, and when; nothing before there was one.

    Args:
        now: for a short form of the time.
    """
    at, outcome = channel["verified_at"], channel["verify_outcome"]
    if at is None:
        return ""
    moment = show_moment(at) if now is None else show_short(at, now=now)
    return f"{'no check' if outcome == 'unsupported' else outcome}, {moment}"


def _drill_fields(channel: Mapping[str, Any]) -> list[tuple[str, str]]:
    every, detail = channel["verify_every"], channel["verify_detail"]
    return [
        ("drilled", f"every {every}" if every else "when asked"),
        *([("last drill", describe_drill(channel))] if channel["verified_at"] else []),
        *([("drill says", detail)] if detail else []),
    ]


def _state_fields(channel: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how a channel fares, as far as there is something to say."""
    moments = [("since", channel["state_changed_at"]), ("next probe", channel["probe_at"])]
    return [
        ("state", describe_state(channel)),
        *([("because", channel["state_detail"])] if channel["state_detail"] else []),
        *((name, show_moment(moment)) for name, moment in moments if moment),
    ]


def _rate(channel: Mapping[str, Any]) -> str:
    if channel["rate"] is None:
        return "any"
    return f"{channel['rate']}, {channel['burst'] or 1} at once"


def _breaker(channel: Mapping[str, Any]) -> str:
    failures, wait = channel["breaker_failures"], channel["breaker_wait"]
    return f"{failures} failures in a row, tried again after {wait}" if failures else "never"


def print_channel(channel: Mapping[str, Any]) -> None:
    """Print all there is to know of one channel."""
    settings = channel["settings"].items()
    print_fields(
        [
            ("channel", channel["name"]),
            ("plugin", channel["plugin"]),
            ("enabled", yes_or_no(channel["enabled"])),
            *_state_fields(channel),
            ("timeout", f"{channel['timeout_seconds']:g} s"),
            ("retries", " ".join(channel["retry_schedule"]) or "none"),
            ("concurrency", str(channel["concurrency"])),
            ("on unknown", channel["on_unknown"]),
            ("rate", _rate(channel)),
            ("breaker", _breaker(channel)),
            *template_fields(channel),
            *_drill_fields(channel),
            ("created", show_moment(channel["created_at"])),
            ("changed", show_moment(channel["updated_at"])),
            *((f"settings.{name}", _written(value)) for name, value in settings),
        ]
    )


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
