"""`plugins try`: one real send, with neither a server nor a database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from almenara.cli.assignments import read_assignments
from almenara.cli.exits import ExitCode
from almenara.cli.output import print_line
from almenara.settings import read_settings


def try_plugin(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The class, as `Email` or as `email.Email`.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the channel: `key=text`, `key:=json`, `key=@file`, `key=-`.",
        ),
    ] = None,
    text: Annotated[str, typer.Option(help="The text to send.")] = "A test of the plugin.",
    title: Annotated[str | None, typer.Option(help="A heading.")] = None,
    text_format: Annotated[
        Literal["text", "markdown", "html"],
        typer.Option("--format", help="How the text is written."),
    ] = "text",
    priority: Annotated[int, typer.Option(min=1, max=5, help="1 is the most urgent.")] = 3,
    to: Annotated[
        list[str] | None, typer.Option("--to", help="A recipient of the message; repeatable.")
    ] = None,
) -> None:
    """Send one message through a plugin, really, without a server; nothing of it is stored.

    Example: `almenara plugins try Ntfy --set topic=shop-7f3a9c --text hello`

    The plugins are those of `ALMENARA_PLUGINS_DIR` and the shipped ones, as they stand there now.
    """
    from almenara.models import new_id
    from almenara.plugin import Message
    from almenara.trying import try_plugin as send

    values = read_assignments(settings or [])
    message = Message(
        id=new_id(),
        channel="try",
        title=title,
        description=text,
        format=text_format,
        priority=priority,
        to=to or [],
        created_at=datetime.now(UTC),
        idempotency_key=str(new_id()),
    )
    tried = asyncio.run(send(read_settings(), name, values, message))
    print_line(f"{'Sent' if tried.sent else 'Not sent'}, after {tried.seconds:.2f} s.")
    print_line(tried.sentence)
    if not tried.sent:
        raise typer.Exit(ExitCode.NOT_DONE)
