"""The commands that act on messages: send, show, resend, cancel, release."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from almenara.cli.client import Answer, Server, connect, new_key, path_to
from almenara.cli.exits import ExitCode
from almenara.cli.message_options import (
    Attach,
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
    read_files,
    written_message,
)
from almenara.cli.output import print_json, print_line, print_note
from almenara.cli.story import is_sent, is_settled, print_deliveries, print_story
from almenara.cli.words import AsJson

#: How often `send --wait` looks, in seconds: often at first, then less.
FIRST_LOOK_SECONDS = 0.1
LONGEST_LOOK_SECONDS = 2.0

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of a message.")]
OfDelivery = Annotated[bool, typer.Option("--delivery", help="ID is that of one delivery.")]


def send(
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
    attach: Attach = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="An idempotency key: sent twice, it is stored once."),
    ] = None,
    retry: Annotated[
        int,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="Go on for so long when the server is away; it is stored once.",
        ),
    ] = 0,
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

    Example: `almenara send sales "The invoice" --attach invoice.pdf`

    Example: `almenara send ops "Backup done" --retry 600`
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
        attachments=read_files(attach or []),
    )
    server = connect(total_seconds=retry)
    if retry and key is None:
        key = new_key()
    headers = {} if key is None else {"Idempotency-Key": key}
    accepted = server.call("POST", "/v1/messages", body, headers=headers, repeatable=bool(key))
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
        print_note("Nobody gets it: its topic has no enabled channel that takes it.")
