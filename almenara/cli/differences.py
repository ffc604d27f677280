"""What has to be changed for a server to be as a file has it; pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from almenara.api.channel_bodies import ChannelFields
from almenara.api.topics import TopicFields
from almenara.cli.declaration import Declaration
from almenara.errors import ConfigurationError
from almenara.secrets import MASK

Kind = Literal["channel", "topic"]
Action = Literal["create", "change", "delete"]
Rows = Mapping[str, Mapping[str, Any]]

_ABSENT = object()
_LONGEST_VALUE = 60
_NOT_SET = "(not set)"
#: What is shown of a secret that is written in clear; nobody can say whether it is another one.
_HIDDEN = "(a secret)"
_REFERENCES = ("'env:", "'file:")


@dataclass(frozen=True)
class Difference:
    """One value that becomes another."""

    place: str
    before: str
    after: str


@dataclass(frozen=True)
class Change:
    """One channel or topic that is created, changed or deleted."""

    kind: Kind
    name: str
    action: Action
    #: What the API is given; nothing for what is deleted.
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    differences: tuple[Difference, ...] = ()


def find_changes(
    wanted: Declaration,
    channels: Rows,
    topics: Rows,
    *,
    prune: bool,
    secrets: Mapping[str, Collection[str]],
) -> list[Change]:
    """Return the changes in the order in which they can be made.

    Args:
        wanted: what the file says.
        channels: what the server shows of its channels, by name.
        topics: the same of its topics.
        prune: whether what the file does not name is deleted.
        secrets: the secret settings of each plugin; of one that is not known here, all are.

    Raises:
        ConfigurationError: a topic names a channel that is neither in the file nor on the server.
    """
    wanted_channels = {name: _channel_body(one) for name, one in wanted.channels.items()}
    wanted_topics = {name: _topic_body(one) for name, one in wanted.topics.items()}
    known = wanted_channels.keys() | ({} if prune else channels.keys())
    for name, body in wanted_topics.items():
        for step in body["channels"]:
            if step["channel"] not in known:
                raise ConfigurationError(
                    f"topics.{name}: there is no channel {step['channel']!r}, neither in the file "
                    "nor on the server."
                )
    changes = [
        _hiding(change, secrets.get(change.body["plugin"]))
        for change in _written("channel", wanted_channels, _each(shown_channel, channels))
    ]
    changes += _written("topic", wanted_topics, _each(shown_topic, topics))
    if prune:
        # Topics first: a channel that one of them uses cannot be deleted.
        changes += _deleted("topic", topics, wanted_topics)
        changes += _deleted("channel", channels, wanted_channels)
    return changes


def shown_channel(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a channel that the server shows what a file has of it."""
    return {name: row[name] for name in ChannelFields.model_fields if name in row}


def shown_topic(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a topic that the server shows what a file has of it."""
    return {name: row[name] for name in _TOPIC_FIELDS if name in row}


def without_defaults(kind: Kind, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has to be written of a channel or topic, which is all that is not usual."""
    model = ChannelFields if kind == "channel" else TopicFields
    usual = {
        name: one.get_default(call_default_factory=True) for name, one in model.model_fields.items()
    }
    kept = {name: value for name, value in body.items() if usual.get(name, _ABSENT) != value}
    if kind == "topic":
        kept["channels"] = [
            one if one.get("condition") else one["channel"] for one in body["channels"]
        ]
    return kept


_TOPIC_FIELDS = tuple(name for name in TopicFields.model_fields if name != "channel")


def _channel_body(channel: ChannelFields) -> dict[str, Any]:
    return channel.model_dump(mode="json")


def _topic_body(topic: TopicFields) -> dict[str, Any]:
    steps = topic.steps() or []
    body = topic.model_dump(mode="json", exclude={"channel", "channels"})
    body["channels"] = [
        {"channel": one.channel, **({"condition": one.condition} if one.condition else {})}
        for one in steps
    ]
    return body


def _each(show: Callable[[Mapping[str, Any]], dict[str, Any]], rows: Rows) -> Rows:
    return {name: show(row) for name, row in rows.items()}


def _deleted(kind: Kind, shown: Rows, wanted: Rows) -> list[Change]:
    return [Change(kind, name, "delete") for name in sorted(shown.keys() - wanted.keys())]


def _written(kind: Kind, wanted: Rows, shown: Rows) -> Iterator[Change]:
    for name, body in wanted.items():
        if name not in shown:
            yield Change(kind, name, "create", body)
        elif found := tuple(_differences(shown[name], body)):
            yield Change(kind, name, "change", body, found)


def _differences(before: Any, after: Any, place: str = "") -> Iterator[Difference]:
    """Compare two bodies; objects by their members, everything else as a whole."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *(name for name in after if name not in before)]:
            inner = f"{place}.{name}" if place else str(name)
            yield from _differences(before.get(name, _ABSENT), after.get(name, _ABSENT), inner)
    elif before != after:
        yield Difference(place, _shown(before), _shown(after))


def _hiding(change: Change, secrets: Collection[str] | None) -> Change:
    """Tell of a secret only that it is one; references to where it is are no secrets."""

    def hidden(place: str, value: str) -> str:
        section, _, setting = place.partition(".")
        name = setting.partition(".")[0]
        if section != "settings" or (secrets is not None and name not in secrets):
            return value
        open_ = value in {repr(MASK), _NOT_SET} or value.startswith(_REFERENCES)
        return value if open_ else _HIDDEN

    found = tuple(
        Difference(one.place, hidden(one.place, one.before), hidden(one.place, one.after))
        for one in change.differences
    )
    return replace(change, differences=found)


def _shown(value: object) -> str:
    if value is _ABSENT:
        return _NOT_SET
    number = isinstance(value, int | float) and not isinstance(value, bool)
    text = str(value) if number else repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
