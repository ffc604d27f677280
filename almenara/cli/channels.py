"""The commands for channels; each change is effective in the server at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from almenara.cli.assignments import read_assignments
from almenara.cli.catalogue import (
    ChannelName,
    Enabled,
    given,
    print_written,
    refuse_nothing,
    yes_or_no,
)
from almenara.cli.channel_fields import describe_drill, describe_state, print_channel
from almenara.cli.client import connect, path_to
from almenara.cli.exits import ExitCode
from almenara.cli.groups import new_group
from almenara.cli.output import Column, print_json, print_line, print_table
from almenara.cli.story import is_sent, print_deliveries
from almenara.cli.templates import Template, read_template
from almenara.cli.verifying import VerifyEvery, read_every, verify_channels
from almenara.cli.words import AsJson

Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting: `key=text`, `key:=json`, `key=@file`, `key=-` to be asked; repeatable.",
    ),
]
Timeout = Annotated[
    float | None, typer.Option(min=1, max=20, help="The deadline of one attempt, in seconds.")
]
Retries = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WAIT", help="One wait between attempts, such as `10s`, or `none`; repeatable."
    ),
]
Concurrency = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Attempts at once in one process.")
]
OnUnknown = Annotated[
    Literal["retry", "hold"] | None,
    typer.Option(help="After an attempt that was perhaps sent: try again, or hold."),
]
Rate = Annotated[
    str | None,
    typer.Option(
        metavar="COUNT/UNIT",
        help="How many attempts may begin: `10/s`, `30/m`, `500/h`, or `none` for any number.",
    ),
]
Burst = Annotated[
    int | None, typer.Option(min=1, max=10_000, help="How many of them may begin at once.")
]
BreakerFailures = Annotated[
    int | None,
    typer.Option(min=0, max=1000, help="So many failures in a row pause the channel; 0: never."),
]
BreakerWait = Annotated[
    str | None,
    typer.Option(
        metavar="WAIT", help="How long it waits then before it is tried again, such as `30s`."
    ),
]


def list_channels(as_json: AsJson = False) -> None:
    """List the channels, each with its plugin."""
    answer = connect().get("/v1/channels")
    if as_json:
        print_json(answer)
        return
    now = datetime.now(UTC)
    print_table(
        (
            Column("channel"),
            Column("plugin"),
            Column("enabled", whole=True),
            Column("state"),
            Column("drill"),
            Column("timeout", whole=True),
            Column("retries"),
        ),
        [
            (
                one["name"],
                one["plugin"],
                yes_or_no(one["enabled"]),
                describe_state(one),
                describe_drill(one, now=now),
                f"{one['timeout_seconds']:g} s",
                " ".join(one["retry_schedule"]),
            )
            for one in answer.body["data"]
        ],
        empty="No channels yet: `almenara channels create NAME --plugin PLUGIN` makes one.",
    )


def show_channel(name: ChannelName, as_json: AsJson = False) -> None:
    """Show one channel; its secrets are masked."""
    answer = connect().get(path_to("channels", name))
    if as_json:
        print_json(answer)
    else:
        print_channel(answer.body)


def create_channel(
    name: ChannelName,
    plugin: Annotated[str, typer.Option(help="The plugin; `almenara plugins` lists them.")],
    settings: Assignments = None,
    timeout: Timeout = None,
    retry: Retries = None,
    concurrency: Concurrency = None,
    on_unknown: OnUnknown = None,
    rate: Rate = None,
    burst: Burst = None,
    breaker_failures: BreakerFailures = None,
    breaker_wait: BreakerWait = None,
    template: Template = None,
    verify_every: VerifyEvery = None,
    enabled: Enabled = None,
    as_json: AsJson = False,
) -> None:
    """Create a channel.

    Example: `almenara channels create team-slack --plugin Slack --set webhook_url=-`

    Example: `almenara channels create mail --plugin Email --set server=smtp.example.org
    --set port=587 --set password=@password.txt --set from=shop@example.org --set
    to=ana@example.org`

    A setting is written `key=text`; `key:=json` for what is no text; `key=@file` for the content of
    a file; `key=-` to be asked for it without an echo (without a terminal: the next line of
    standard input), so that no secret stands in the shell's history.
    """
    body = (
        given(
            name=name,
            plugin=plugin,
            settings=read_assignments(settings or []),
            timeout_seconds=timeout,
            retry_schedule=_read_schedule(retry),
            concurrency=concurrency,
            on_unknown=on_unknown,
            burst=burst,
            breaker_failures=breaker_failures,
            breaker_wait=breaker_wait,
            enabled=enabled,
        )
        | _read_rate(rate)
        | read_template(template)
        | read_every(verify_every)
    )
    print_written("Channel", "created", connect().post("/v1/channels", body), as_json=as_json)


def update_channel(
    name: ChannelName,
    plugin: Annotated[str | None, typer.Option(help="Another plugin.")] = None,
    settings: Assignments = None,
    unset: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Remove a setting; repeatable.")
    ] = None,
    timeout: Timeout = None,
    retry: Retries = None,
    concurrency: Concurrency = None,
    on_unknown: OnUnknown = None,
    rate: Rate = None,
    burst: Burst = None,
    breaker_failures: BreakerFailures = None,
    breaker_wait: BreakerWait = None,
    template: Template = None,
    verify_every: VerifyEvery = None,
    enabled: Enabled = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given of a channel; other settings stay as they are.

    Example: `almenara channels update mail --set port=465 --unset username`
    """
    changed = dict.fromkeys(unset or []) | read_assignments(settings or [])
    body = (
        given(
            plugin=plugin,
            settings=changed or None,
            timeout_seconds=timeout,
            retry_schedule=_read_schedule(retry),
            concurrency=concurrency,
            on_unknown=on_unknown,
            burst=burst,
            breaker_failures=breaker_failures,
            breaker_wait=breaker_wait,
            enabled=enabled,
        )
        | _read_rate(rate)
        | read_template(template)
        | read_every(verify_every)
    )
    refuse_nothing(body)
    answer = connect().call("PATCH", path_to("channels", name), body)
    print_written("Channel", "changed", answer, as_json=as_json)


def delete_channel(
    name: ChannelName,
    force: Annotated[
        bool,
        typer.Option("--force", help="Take it out of its topics, and cancel what waits for it."),
    ] = False,
) -> None:
    """Delete a channel that nothing uses; its deliveries stay in the log."""
    query = {"force": True} if force else {}
    connect().call("DELETE", path_to("channels", name), query=query)
    print_line(f"Channel {name} deleted.")


def pause_channel(
    name: ChannelName,
    reason: Annotated[str | None, typer.Option(help="Why, for people.")] = None,
    as_json: AsJson = False,
) -> None:
    """Pause a channel; what waits for it stays pending until it is resumed.

    Example: `almenara channels pause team-slack --reason "Slack is being moved"`
    """
    answer = connect().post(path_to("channels", name, "pause"), given(reason=reason) or None)
    print_written("Channel", "paused", answer, as_json=as_json)


def resume_channel(name: ChannelName, as_json: AsJson = False) -> None:
    """Resume a channel, whatever it was paused for; what waits for it is sent."""
    answer = connect().post(path_to("channels", name, "resume"))
    print_written("Channel", "resumed", answer, as_json=as_json)


def test_channel(name: ChannelName, as_json: AsJson = False) -> None:
    """Send a real test message through a channel and show what came of it."""
    answer = connect().post(path_to("channels", name, "test"))
    if as_json:
        print_json(answer)
    else:
        print_deliveries(answer.body["deliveries"])
    if not is_sent(answer.body):
        raise typer.Exit(ExitCode.NOT_DONE)


channels = new_group("Channels: the configured ways out.", list_channels)
channels.command("list")(list_channels)
channels.command("show")(show_channel)
channels.command("create")(create_channel)
channels.command("update")(update_channel)
channels.command("delete")(delete_channel)
channels.command("pause")(pause_channel)
channels.command("resume")(resume_channel)
channels.command("test")(test_channel)
channels.command("verify")(verify_channels)


def _read_schedule(waits: list[str] | None) -> list[str] | None:
    """Return the waits between attempts; ``None``: as the server has it."""
    return [] if waits == ["none"] else waits or None


def _read_rate(rate: str | None) -> dict[str, str | None]:
    """Return the rate as the API takes it; nothing when none is given."""
    if rate is None:
        return {}
    return {"rate": None if rate.strip().lower() == "none" else rate}
