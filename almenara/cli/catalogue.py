"""What the commands for topics and for channels have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from almenara.cli.client import Answer
from almenara.cli.completing import channel_names, topic_names
from almenara.cli.output import print_json, print_line, print_note

TopicName = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The name, in any case.", autocompletion=topic_names),
]
ChannelName = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The name, in any case.", autocompletion=channel_names),
]
Enabled = Annotated[bool | None, typer.Option("--enabled/--disabled", help="Whether it is in use.")]


def given(**fields: Any) -> dict[str, Any]:
    """Return what was given; the rest is left to the server."""
    return {name: value for name, value in fields.items() if value is not None}


def refuse_nothing(body: Mapping[str, Any]) -> None:
    """Refuse a change that changes nothing.

    Raises:
        typer.BadParameter: the body is empty.
    """
    if not body:
        raise typer.BadParameter("Say what to change; --help lists what there is.")


def print_written(kind: str, verb: str, answer: Answer, *, as_json: bool) -> None:
    """Say what was written; warnings go to stderr in any case."""
    if as_json:
        print_json(answer)
    else:
        print_line(f"{kind} {answer.body['name']} {verb}.")
    for warning in answer.body.get("warnings", []):
        print_note(f"Warning: {warning}")


def yes_or_no(value: object) -> str:
    """Return a truth as people read it."""
    return "yes" if value else "no"
