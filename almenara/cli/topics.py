"""The commands for topics; each change is effective in the server at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from almenara.cli.catalogue import (
    Enabled,
    TopicName,
    given,
    print_written,
    refuse_nothing,
    yes_or_no,
)
from almenara.cli.client import connect, path_to
from almenara.cli.completing import channel_names
from almenara.cli.groups import new_group
from almenara.cli.moments import show_moment
from almenara.cli.output import Column, print_fields, print_json, print_line, print_table
from almenara.cli.templates import (
    Accept,
    Template,
    preview_topic,
    read_accept,
    read_template,
    template_fields,
)
from almenara.cli.words import AsJson

ChannelNames = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        metavar="CHANNEL",
        help="A channel of the topic; repeatable.",
        autocompletion=channel_names,
    ),
]
Strategy = Annotated[
    str | None,
    typer.Option(
        metavar="all|failover",
        help="To every channel, or to the next one only when the one before does not send.",
    ),
]
StepDeadline = Annotated[
    int | None,
    typer.Option(
        "--step-deadline",
        metavar="SECONDS",
        min=1,
        help="With failover: how long each channel has before the next one.",
    ),
]

Redact = Annotated[
    bool | None,
    typer.Option("--redact/--keep", help="Whether a finished message's texts are dropped."),
]


Conditions = Annotated[
    list[str] | None,
    typer.Option(
        "--condition",
        metavar="CHANNEL=JSON",
        help="Which messages a channel takes, such as "
        '`team-slack={"priority": {"at_most": 2}}`; repeatable.',
    ),
]


def list_topics(as_json: AsJson = False) -> None:
    """List the topics, each with its channels."""
    answer = connect().get("/v1/topics")
    if as_json:
        print_json(answer)
        return
    print_table(
        (Column("topic"), Column("channels"), Column("enabled", whole=True)),
        [
            (one["name"], _channel_names(one), yes_or_no(one["enabled"]))
            for one in answer.body["data"]
        ],
        empty="No topics yet: `almenara topics create NAME --channel CHANNEL` makes one.",
    )


def show_topic(name: TopicName, as_json: AsJson = False) -> None:
    """Show one topic."""
    answer = connect().get(path_to("topics", name))
    if as_json:
        print_json(answer)
    else:
        _print_topic(answer.body)


def create_topic(
    name: TopicName,
    channel: ChannelNames = None,
    condition: Conditions = None,
    strategy: Strategy = None,
    step_deadline: StepDeadline = None,
    enabled: Enabled = None,
    redact: Redact = None,
    template: Template = None,
    accept: Accept = None,
    as_json: AsJson = False,
) -> None:
    """Create a topic.

    Example: `almenara topics create sales --channel team-slack --channel backoffice-mail`

    Example: `almenara topics create ops --channel pager --condition 'pager={"priority": 1}'`
    """
    words = read_template(template) | read_accept(accept)
    body = words | given(
        name=name,
        channels=_steps(channel or [], condition or []),
        strategy=strategy,
        step_deadline_seconds=step_deadline,
        enabled=enabled,
        redact=redact,
    )
    print_written("Topic", "created", connect().post("/v1/topics", body), as_json=as_json)


def update_topic(
    name: TopicName,
    channel: ChannelNames = None,
    condition: Conditions = None,
    strategy: Strategy = None,
    step_deadline: StepDeadline = None,
    enabled: Enabled = None,
    redact: Redact = None,
    template: Template = None,
    accept: Accept = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given of a topic; channels replace those it has, with their conditions.

    Example: `almenara topics update sales --channel team-slack --disabled`
    """
    steps = _steps(channel or [], condition or [])
    words = read_template(template) | read_accept(accept)
    body = words | given(
        channels=steps or None,
        strategy=strategy,
        step_deadline_seconds=step_deadline,
        enabled=enabled,
        redact=redact,
    )
    refuse_nothing(body)
    answer = connect().call("PATCH", path_to("topics", name), body)
    print_written("Topic", "changed", answer, as_json=as_json)


def delete_topic(name: TopicName) -> None:
    """Delete a topic; its messages stay in the log."""
    connect().call("DELETE", path_to("topics", name))
    print_line(f"Topic {name} deleted.")


topics = new_group("Topics: the names that senders use.", list_topics)
topics.command("list")(list_topics)
topics.command("show")(show_topic)
topics.command("create")(create_topic)
topics.command("update")(update_topic)
topics.command("delete")(delete_topic)
topics.command("preview")(preview_topic)


def _print_topic(topic: Mapping[str, Any]) -> None:
    print_fields(
        [
            ("topic", topic["name"]),
            ("channels", _channel_names(topic)),
            *_conditions(topic),
            ("strategy", _strategy(topic)),
            ("enabled", yes_or_no(topic["enabled"])),
            ("redact", yes_or_no(topic["redact"])),
            *template_fields(topic),
            ("created", show_moment(topic["created_at"])),
            ("changed", show_moment(topic["updated_at"])),
        ]
    )


def _strategy(topic: Mapping[str, Any]) -> str:
    if topic["strategy"] == "failover":
        return f"failover, {topic['step_deadline_seconds']} s for each channel"
    return str(topic["strategy"])


def _conditions(topic: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    from almenara.conditions import describe

    for one in topic["channels"]:
        if one.get("condition"):
            yield f"condition.{one['channel']}", json.dumps(one["condition"], ensure_ascii=False)
            yield "", describe(one["condition"])


def _channel_names(topic: Mapping[str, Any]) -> str:
    return ", ".join(one["channel"] for one in topic["channels"])


def _steps(channels: Sequence[str], conditions: Sequence[str]) -> list[str | dict[str, Any]]:
    """Put channels and their conditions together, as the API takes them."""
    wanted = dict(_read_condition(one) for one in conditions)
    for name in wanted.keys() - set(channels):
        message = f"{name!r} is none of the channels that --channel names."
        raise typer.BadParameter(message, param_hint="--condition")
    return [
        {"channel": name, "condition": wanted[name]} if name in wanted else name
        for name in channels
    ]


def _read_condition(text: str) -> tuple[str, Any]:
    name, _, condition = text.partition("=")
    try:
        return name, json.loads(condition)
    except ValueError as error:
        raise typer.BadParameter(
            f"Write CHANNEL=JSON; what follows the `=` is no JSON: {error}.",
            param_hint="--condition",
        ) from error
