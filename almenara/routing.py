"""The table topic -> channels in memory, kept fresh by the configuration's revision."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from tortoise.backends.base.client import BaseDBAsyncClient

from almenara.conditions import Content, matches
from almenara.database import Database, Transaction
from almenara.errors import FieldError, InvalidInputError
from almenara.models import Channel, ChannelState, Topic, TopicChannel
from almenara.retry import parse_duration
from almenara.templates import Words

#: The revision of a configuration that nobody has changed yet.
UNTOUCHED = 1

#: How long each channel of a failover chain has, unless its topic says otherwise.
DEFAULT_STEP_DEADLINE = timedelta(seconds=300)


@dataclass(frozen=True, slots=True)
class ChannelRoute:
    """A channel as accepting and dispatching need it."""

    id: str
    name: str
    plugin: str
    #: As stored: secrets are sealed.
    settings: Mapping[str, Any]
    enabled: bool
    timeout_seconds: float
    retry_schedule: tuple[timedelta, ...]
    concurrency: int
    on_unknown: str
    revision: int
    #: As written, such as ``10/s``; ``None``: any number.
    rate: str | None = None
    burst: int | None = None
    breaker_failures: int = 20
    breaker_wait: timedelta = timedelta(seconds=30)
    #: Whether it takes nothing just now; what waits for it stays pending.
    paused: bool = False
    #: How it words messages; ``None``: as the topic does.
    template: Words | None = None


@dataclass(frozen=True, slots=True)
class TopicRoute:
    """A topic with its channels in order."""

    name: str
    enabled: bool
    strategy: str
    channels: tuple[str, ...]
    #: By channel: which messages it takes; a channel that is not here takes all.
    conditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: In a failover chain: how long each channel has before the next one has its turn.
    step_deadline: timedelta = DEFAULT_STEP_DEADLINE
    #: Whether the texts of its messages are dropped when they are finished.
    redact: bool = False
    #: How its messages are worded; ``None``: as they came.
    template: Words | None = None
    #: What the bodies of foreign webhooks mean, as stored; ``None``: it takes messages.
    accept: Mapping[str, Any] | None = None

    def takes(self, channel: str, message: Content) -> bool:
        """Tell whether the condition of one of its channels lets a message through."""
        condition = self.conditions.get(channel)
        return condition is None or matches(condition, message)


@dataclass(frozen=True, slots=True)
class Table:
    """One state of the configuration."""

    revision: int = 0
    topics: Mapping[str, TopicRoute] = field(default_factory=dict)
    channels: Mapping[str, ChannelRoute] = field(default_factory=dict)

    def topic(self, name: str) -> TopicRoute:
        """Find a topic, whatever the case it is written in.

        Raises:
            InvalidInputError: there is none; says the nearest names.
        """
        wanted = name.strip().lower()
        if wanted in self.topics:
            return self.topics[wanted]
        raise _not_found("topic", name, self.topics)

    def channel(self, name: str) -> ChannelRoute:
        """Find a channel.

        Raises:
            InvalidInputError: there is none; says the nearest names.
        """
        wanted = name.strip().lower()
        if wanted in self.channels:
            return self.channels[wanted]
        raise _not_found("channel", name, self.channels)

    def channels_of(self, topic: TopicRoute) -> Sequence[ChannelRoute]:
        """Return the enabled channels of a topic in order; none of a topic that is disabled."""
        if not topic.enabled:
            return ()
        channels = [self.channels[name] for name in topic.channels]
        return [channel for channel in channels if channel.enabled]

    def channels_for(self, topic: TopicRoute, message: Content) -> Sequence[ChannelRoute]:
        """Return the enabled channels of a topic that take this message, in order."""
        channels = self.channels_of(topic)
        if topic.conditions:
            channels = [one for one in channels if topic.takes(one.name, message)]
        return channels


class FoundRoute(NamedTuple):
    """Where one message goes."""

    #: The topic's name as it is stored.
    topic: str | None
    #: The channels to deliver to, in order.
    channels: Sequence[ChannelRoute]
    #: Set for a failover chain: how long each channel has before the next one has its turn.
    step_deadline: timedelta | None = None
    #: Whether the message's texts go when it is finished: its topic says so, a channel never does.
    redact: bool = False


def find_route(
    table: Table, topic: str | None, channel: str | None, message: Content
) -> FoundRoute:
    """Find where a message goes.

    Conditions are the topic's: they keep no message from a channel that it is addressed to.

    Raises:
        InvalidInputError: there is no such topic or channel; says the nearest names.
    """
    if channel is not None:
        one = table.channel(channel)
        # A disabled one too: what was addressed to it waits until it is enabled.
        return FoundRoute(topic and topic.strip().lower(), (one,))
    return route_of(table, table.topic(topic or ""), message)


def route_of(table: Table, topic: TopicRoute, message: Content) -> FoundRoute:
    """Return where a message on a topic goes."""
    channels = table.channels_for(topic, message)
    failover = topic.strategy == "failover"
    step_deadline = topic.step_deadline if failover else None
    return FoundRoute(topic.name, channels, step_deadline, topic.redact)


class Routing:
    """The table of one process; replaced whole, so that readers never see half of a change."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.table = Table()

    async def refresh(self) -> Table:
        """Read the configuration anew if its revision moved, and return the table."""
        [row] = await self._database.fetch("SELECT revision FROM configuration WHERE id = 1")
        if row["revision"] != self.table.revision:
            table = await self._read(row["revision"])
            # Another refresh may have been faster, and have read a newer state.
            if table.revision > self.table.revision:
                self.table = table
        return self.table

    async def _read(self, revision: int) -> Table:
        return await _read(self._database.reader, revision)

    async def read_in(self, transaction: Transaction, *, locked: bool = True) -> Table:
        """Return the table as it stands in a transaction.

        Args:
            locked: no change overtakes it until the transaction ends.
        """
        share = "FOR SHARE" if locked and transaction.dialect == "postgres" else ""
        [row] = await transaction.fetch(f"SELECT revision FROM configuration WHERE id = 1 {share}")
        if row["revision"] == self.table.revision:
            return self.table
        return await _read(transaction.client, row["revision"])


async def _read(client: BaseDBAsyncClient, revision: int) -> Table:
    """Read everything; a change in between moves the revision on, and is read next time."""
    channels = await Channel.all().using_db(client)
    topics = await Topic.all().using_db(client)
    links = await TopicChannel.all().using_db(client).order_by("position")
    states = await ChannelState.filter(state="paused").using_db(client)
    paused = {state.channel_id for state in states}
    names = {channel.id: channel.name for channel in channels}
    of_topic: dict[UUID, list[TopicChannel]] = {}
    for link in links:
        if link.channel_id in names:
            of_topic.setdefault(link.topic_id, []).append(link)
    return Table(
        revision=revision,
        topics={
            topic.name: _topic_route(topic, of_topic.get(topic.id, ()), names) for topic in topics
        },
        channels={
            channel.name: replace(_channel_route(channel), paused=channel.id in paused)
            for channel in channels
        },
    )


def _topic_route(
    topic: Topic, links: Sequence[TopicChannel], names: Mapping[UUID, str]
) -> TopicRoute:
    return TopicRoute(
        name=topic.name,
        enabled=topic.enabled,
        strategy=topic.strategy,
        channels=tuple(names[link.channel_id] for link in links),
        conditions={names[link.channel_id]: link.condition for link in links if link.condition},
        step_deadline=timedelta(seconds=topic.step_deadline_seconds),
        redact=topic.redact,
        template=Words.stored(topic.template),
        accept=topic.accept,
    )


def _channel_route(channel: Channel) -> ChannelRoute:
    return ChannelRoute(
        id=str(channel.id),
        name=channel.name,
        plugin=channel.plugin,
        settings=channel.settings,
        enabled=channel.enabled,
        timeout_seconds=channel.timeout_seconds,
        retry_schedule=tuple(parse_duration(text) for text in channel.retry_schedule),
        concurrency=channel.concurrency,
        on_unknown=channel.on_unknown,
        revision=channel.revision,
        rate=channel.rate,
        burst=channel.burst,
        breaker_failures=channel.breaker_failures,
        breaker_wait=parse_duration(channel.breaker_wait),
        template=Words.stored(channel.template),
    )


def _not_found(kind: str, name: str, names: Mapping[str, object]) -> InvalidInputError:
    """Say that a name is not known, with the names that were perhaps meant."""
    near = difflib.get_close_matches(name.strip().lower(), names, n=3)
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    message = f"There is no {kind} {name[:64]!r}.{hint}"
    code = f"{kind}_not_found"
    wrong = FieldError(field=kind, code=code, message=message)
    return InvalidInputError(message, errors=[wrong], code=code)
