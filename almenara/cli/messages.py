"""The commands that act on messages: send, show, resend, cancel, release."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer

from almenara.cli.client import Answer, Server, connect, path_to
from almenara.cli.exits import ExitCode
from almenara.cli.moments import read_moment
from almenara.cli.output import print_json, print_line, print_note
from almenara.cli.story import is_sent, is_settled, print_deliveries, print_story

#: How often `send --wait` looks, in seconds: often at first, then less.
FIRST_LOOK_SECONDS = 0.1
LONGEST_LOOK_SECONDS = 2.0

AsJson = Annotated[bool, typer.Option("--json", help="Write the server's JSON, for machines.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of a message.")]
OfDelivery = Annotated[bool, typer.Option("--delivery", help="ID is that of one delivery.")]


def send(
    topic: Annotated[
        str,
        typer.Argument(metavar="TOPIC", help="The topic; with `--channel` it may be left out."),
    ],
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="The text; `-` reads it from standard input."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="A short heading.")] = None,
    channel: Annotated[
        str | None,
        typer.Option(metavar="CHANNEL", help="Address one channel instead of the topic's."),
    ] = None,
    text_format: Annotated[
        Literal["text", "markdown", "html"] | None,
        typer.Option("--format", help="How the text is written."),
    ] = None,
    priority: Annotated[
        int | None, typer.Option(min=1, max=5, help="1 is the most urgent, 5 the least.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="A word for plugins; repeatable.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="JSON", help="Structured content: a JSON object.")
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS", help="A recipient, for channels that allow it; repeatable."
        ),
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Your own reference.")] = None,
    send_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not before then: `30m` or an ISO time.")
    ] = None,
    expires_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Never after then: `2h` or an ISO time.")
    ] = None,
    collapse_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="A newer message with this key cancels this one while it waits."
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="An idempotency key: sent twice, it is stored once."),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Wait until every delivery is settled; ends with 1 unless all are sent."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hand in a message.

    Example: `almenara send sales "I need help with my plan" --title "New lead" --wait`

    Example: `df -h | almenara send ops - --title "Disk space"`
    """
    if text is None:
        if channel is None:
            raise typer.BadParameter("Missing argument 'TEXT'.")
        addressed, text = None, topic
    else:
        addressed = topic
    now = datetime.now(UTC)
    body = {
        "topic": addressed,
        "channel": channel,
        "description": _read_stdin() if text == "-" else text,
        "title": title,
        "format": text_format,
        "priority": priority,
        "tags": tag,
        "data": _read_object(data),
        "to": to,
        "reference": reference,
        "send_at": read_moment(send_at, "--send-at", now=now, towards="future"),
        "expires_at": read_moment(expires_at, "--expires-at", now=now, towards="future"),
        "collapse_key": collapse_key,
    }
    server = connect()
    accepted = server.post(
        "/v1/messages",
        {name: value for name, value in body.items() if value not in (None, [])},
        headers={} if key is None else {"Idempotency-Key": key},
    )
    if wait:
        _show_outcome(_settled(server, accepted.body["id"]), as_json=as_json)
    elif as_json:
        print_json(accepted)
    else:
        _print_accepted(accepted.body)


def show(message_id: Id, as_json: AsJson = False) -> None:
    """Show a message with its deliveries and every attempt.

    Example: `almenara show 019aa2f0-7c1e-7d3a-b2f4-5a1c7e0d9b11`
    """
    story = connect().get(path_to("messages", message_id))
    if as_json:
        print_json(story)
    else:
        print_story(story.body)


def resend(
    identifier: Id,
    delivery: OfDelivery = False,
    sent_too: Annotated[
        bool, typer.Option("--sent-too", help="Send again also what was sent.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send again what of a message failed or was cancelled.

    Example: `almenara resend 019aa2f0-7c1e-7d3a-b2f4-5a1c7e0d9b11 --sent-too`
    """
    if delivery and sent_too:
        raise typer.BadParameter(
            "It is for messages; a delivery is sent again whatever it is.", param_hint="--sent-too"
        )
    query = {"sent_too": True} if sent_too else {}
    _act("resend", identifier, delivery=delivery, as_json=as_json, **query)


def cancel(identifier: Id, delivery: OfDelivery = False, as_json: AsJson = False) -> None:
    """Cancel what of a message was not sent yet.

    Example: `almenara cancel 019aa2f0-7c1e-7d3a-b2f4-5a1c7e0d9b11`
    """
    _act("cancel", identifier, delivery=delivery, as_json=as_json)


def release(
    delivery_id: Annotated[str, typer.Argument(metavar="ID", help="The id of a held delivery.")],
    as_json: AsJson = False,
) -> None:
    """Put a held delivery back: it is tried again at once.

    Example: `almenara release 019aa2f0-7c1f-7000-9d0c-3f1d2b7a6e55`
    """
    _act("release", delivery_id, delivery=True, as_json=as_json)


def _act(verb: str, identifier: str, *, delivery: bool, as_json: bool, **query: bool) -> None:
    """Ask the server to change a message or a delivery, and show what became of it."""
    kind = "deliveries" if delivery else "messages"
    answer = connect().call("POST", path_to(kind, identifier, verb), query=query)
    if as_json:
        print_json(answer)
    else:
        print_deliveries([answer.body] if delivery else answer.body["deliveries"])


def _settled(server: Server, message_id: str) -> Answer:
    """Wait until nothing of a message happens by itself any more."""
    pause = FIRST_LOOK_SECONDS
    while True:
        story = server.get(path_to("messages", message_id))
        if is_settled(story.body):
            return story
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)


def _show_outcome(story: Answer, *, as_json: bool) -> None:
    """Show how a message ended; the exit code says whether all of it was sent."""
    if as_json:
        print_json(story)
    else:
        print_line(f"{story.body['id']}: {story.body['status']}")
        print_deliveries(story.body["deliveries"])
    if not is_sent(story.body):
        raise typer.Exit(ExitCode.NOT_DONE)


def _print_accepted(accepted: Mapping[str, Any]) -> None:
    channels = ", ".join(one["channel"] for one in accepted["deliveries"])
    again = ", which was handed in before" if accepted["duplicate"] else ""
    if channels:
        print_line(f"Accepted {accepted['id']}{again}; {accepted['status']} for {channels}.")
    else:
        print_line(f"Stored {accepted['id']}{again}.")
        print_note("Nobody gets it: its topic has no enabled channel.")


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
