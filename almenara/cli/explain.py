"""The command that says what would happen to a message."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from almenara.cli.catalogue import yes_or_no
from almenara.cli.client import connect
from almenara.cli.message_options import (
    Channel,
    CollapseKey,
    Data,
    ExpiresAt,
    Priority,
    Reference,
    SendAt,
    Tags,
    Text,
    TextFormat,
    Title,
    To,
    Topic,
    written_message,
)
from almenara.cli.moments import show_moment
from almenara.cli.output import print_fields, print_json, print_line, print_note
from almenara.cli.words import AsJson

_Fields = Iterator[tuple[str, str]]


def explain(
    topic: Topic,
    text: Text = None,
    title: Title = None,
    channel: Channel = None,
    text_format: TextFormat = None,
    priority: Priority = None,
    tag: Tags = None,
    data: Data = None,
    to: To = None,
    reference: Reference = None,
    send_at: SendAt = None,
    expires_at: ExpiresAt = None,
    collapse_key: CollapseKey = None,
    as_json: AsJson = False,
) -> None:
    """Say what would happen to a message, without storing or sending it.

    Example: `almenara explain sales "I need help" --priority 1 --data '{"country": "ES"}'`
    """
    body = written_message(
        topic,
        text,
        channel=channel,
        data=data,
        send_at=send_at,
        expires_at=expires_at,
        title=title,
        format=text_format,
        priority=priority,
        tags=tag,
        to=to,
        reference=reference,
        collapse_key=collapse_key,
    )
    answer = connect().post("/v1/messages/explain", body)
    if as_json:
        print_json(answer)
        return
    print_explained(answer.body)


def print_explained(explained: Mapping[str, Any]) -> None:
    """Print what would happen to a message."""
    print_fields(_whole(explained))
    for one in explained["channels"]:
        print_line("")
        print_fields(_channel(one))
        _print_content(one["content"])
    if not any(one["would_send"] for one in explained["channels"]):
        print_note("Nobody would get it.")


def _whole(explained: Mapping[str, Any]) -> _Fields:
    yield "topic", explained["topic"] or ""
    yield "strategy", explained["strategy"] or ""
    yield "enabled", "no" if explained["enabled"] is False else ""
    yield "status", explained["status"]
    yield "due", show_moment(explained["due_at"])
    yield "expires at", show_moment(explained["expires_at"])


def _channel(one: Mapping[str, Any]) -> _Fields:
    yield "channel", one["channel"]
    yield "would send", yes_or_no(one["would_send"])
    yield "why not", one["why_not"] or ""
    yield "waits for", one["waits_for"] or ""
    yield "condition", one["condition_text"] or ""
    yield "matched", "" if one["matched"] is None else yes_or_no(one["matched"])
    yield "due", show_moment(one["due_at"])
    plugin = one["plugin"]
    revision = f", revision {plugin['revision']}" if plugin["revision"] else ""
    yield "plugin", f"{plugin['qualified_name'] or plugin['name']}{revision}"
    yield "broken", plugin["error"] or ""
    yield "policy", "; ".join(_policy(one["policy"]))


def _policy(policy: Mapping[str, Any]) -> Iterator[str]:
    yield f"deadline {policy['timeout_seconds']:g} s"
    yield f"retries {', '.join(policy['retry_schedule']) or 'none'}"
    yield f"{policy['concurrency']} at once"
    if policy["rate"]:
        yield f"rate {policy['rate']}"


def _print_content(content: Mapping[str, Any] | None) -> None:
    if content is None:
        return
    if content["error"]:
        print_line(f"What it would send cannot be shown: {content['error']}")
        return
    print_line("It would send:" if content["rendered"] else "It would send, by its own means:")
    for name, part in content["parts"].items():
        if part is not None:
            text = part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)
            print_line(f"{name}: {text}")
