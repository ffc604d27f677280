"""The options that make up a message on the command line, for all commands that take one."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from almenara.cli.completing import channel_names, topic_names
from almenara.cli.moments import read_moment

Topic = Annotated[
    str,
    typer.Argument(
        metavar="TOPIC",
        help="The topic; with `--channel` it may be left out.",
        autocompletion=topic_names,
    ),
]
Text = Annotated[
    str | None,
    typer.Argument(metavar="TEXT", help="The text; `-` reads it from standard input."),
]
Title = Annotated[str | None, typer.Option(help="A short heading.")]
Channel = Annotated[
    str | None,
    typer.Option(
        metavar="CHANNEL",
        help="Address one channel instead of the topic's.",
        autocompletion=channel_names,
    ),
]
TextFormat = Annotated[
    Literal["text", "markdown", "html"] | None,
    typer.Option("--format", help="How the text is written."),
]
Priority = Annotated[
    int | None, typer.Option(min=1, max=5, help="1 is the most urgent, 5 the least.")
]
Tags = Annotated[
    list[str] | None, typer.Option(metavar="TAG", help="A word for plugins; repeatable.")
]
Data = Annotated[
    str | None, typer.Option(metavar="JSON", help="Structured content: a JSON object.")
]
To = Annotated[
    list[str] | None,
    typer.Option(metavar="ADDRESS", help="A recipient, for channels that allow it; repeatable."),
]
Reference = Annotated[str | None, typer.Option(help="Your own reference.")]
SendAt = Annotated[
    str | None, typer.Option(metavar="TIME", help="Not before then: `30m` or an ISO time.")
]
ExpiresAt = Annotated[
    str | None, typer.Option(metavar="TIME", help="Never after then: `2h` or an ISO time.")
]
CollapseKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY", help="A newer message with this key cancels this one while it waits."
    ),
]
Attach = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="A file to send, for channels that carry files; repeatable."),
]


def written_message(
    topic: str,
    text: str | None,
    *,
    channel: str | None,
    data: str | None,
    send_at: str | None,
    expires_at: str | None,
    **fields: Any,
) -> dict[str, Any]:
    """Return a message as the API takes it.

    Args:
        topic: the text, if there is no other and a channel is given.
        fields: what goes into the body as it is; what was not given is left out.

    Raises:
        typer.BadParameter: the text is missing, or something cannot be read.
    """
    addressed: str | None = topic
    if text is None:
        if channel is None:
            raise typer.BadParameter("Missing argument 'TEXT'.")
        addressed, text = None, topic
    now = datetime.now(UTC)
    body = {
        "topic": addressed,
        "channel": channel,
        "description": _read_stdin() if text == "-" else text,
        "data": _read_object(data),
        "send_at": read_moment(send_at, "--send-at", now=now, towards="future"),
        "expires_at": read_moment(expires_at, "--expires-at", now=now, towards="future"),
        **fields,
    }
    return {name: value for name, value in body.items() if value not in (None, [])}


def read_files(paths: Sequence[Path]) -> list[dict[str, str]]:
    """Return files as the API takes them.

    Raises:
        typer.BadParameter: one cannot be read.
    """
    try:
        return [
            {"name": path.name, "content": base64.b64encode(path.read_bytes()).decode()}
            for path in paths
        ]
    except OSError as error:
        raise typer.BadParameter(
            f"{error.filename} cannot be read: {error.strerror}.", param_hint="--attach"
        ) from error


def _read_stdin() -> str:
    """Read the text from standard input, without the line end that ``echo`` adds."""
    try:
        return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(
            f"What stands on standard input is not UTF-8 at byte {error.start}.", param_hint="TEXT"
        ) from error


def _read_object(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"It is not JSON: {error}.", param_hint="--data") from error
    if not isinstance(value, dict):
        raise typer.BadParameter("Write a JSON object: {...}.", param_hint="--data")
    return value
