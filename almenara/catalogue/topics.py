"""Topics: read, written with their channels in order, deleted."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tortoise.backends.base.client import BaseDBAsyncClient

from almenara.catalogue.change import Changes
from almenara.catalogue.states import topic_state
from almenara.database import Database, Transaction
from almenara.errors import ConflictError, FieldError, InvalidInputError, NotFoundError
from almenara.models import Channel, Topic, TopicChannel
from almenara.news import SYSTEM_PREFIX, SystemTopic
from almenara.trail import Action, Trace, leave


@dataclass(frozen=True, slots=True)
class TopicStep:
    """One channel of a topic, at its place in the order."""

    channel: str
    #: Which messages it takes, checked already; ``None``: all.
    condition: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as somebody wants it, checked field by field already."""

    name: str
    channels: Sequence[TopicStep]
    strategy: str = "all"
    step_deadline_seconds: int = 300
    enabled: bool = True
    redact: bool = False
    #: How its messages are worded, checked already; ``None``: as they came.
    template: dict[str, Any] | None = None
    #: What the bodies of foreign webhooks mean, checked already; ``None``: it takes messages.
    accept: dict[str, Any] | None = None


#: What stands in a topic's row as it was written.
_PLAIN = tuple(
    one.name for one in dataclasses.fields(TopicSpec) if one.name not in {"name", "channels"}
)


@dataclass(frozen=True, slots=True)
class StoredTopic:
    """A topic with its channels in order."""

    topic: Topic
    channels: Sequence[TopicStep]


class Topics:
    """Reads and changes topics."""

    def __init__(
        self, *, database: Database, changes: Changes, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._changes = changes
        self._clock = clock

    async def all(self) -> list[StoredTopic]:
        """Return every topic by name, each with its channels in order."""
        reader = self._database.reader
        topics = await Topic.all().using_db(reader).order_by("name")
        names = {one.id: one.name for one in await Channel.all().using_db(reader)}
        of_topic: dict[UUID, list[TopicStep]] = {}
        for link in await TopicChannel.all().using_db(reader).order_by("position"):
            # These are three reads: a channel may have been deleted in between.
            if link.channel_id in names:
                step = TopicStep(names[link.channel_id], link.condition)
                of_topic.setdefault(link.topic_id, []).append(step)
        return [StoredTopic(topic, of_topic.get(topic.id, [])) for topic in topics]

    async def get(self, name: str) -> StoredTopic:
        """Return one topic.

        Raises:
            NotFoundError: there is none of this name.
        """
        reader = self._database.reader
        topic = await _topic(name, reader)
        return StoredTopic(topic, await _channels_of(topic, reader))

    async def write(
        self, spec: TopicSpec, *, create: bool, replace: bool, by: str | None = None
    ) -> tuple[StoredTopic, bool]:
        """Create or replace a topic, and tell whether it is new.

        Raises:
            ConflictError: it exists, and may not.
            NotFoundError: it does not exist, and must.
            InvalidInputError: a channel is not known, or named twice, or the name is one of the
                router's own: names each place.
        """
        _check_name(spec.name)

        async def work(transaction: Transaction) -> tuple[StoredTopic, bool]:
            stored = await Topic.filter(name=spec.name).using_db(transaction.client).first()
            if stored is not None and not replace:
                raise ConflictError(
                    f"There is a topic {spec.name!r} already; change it with PATCH or PUT.",
                    code="topic_exists",
                )
            if stored is None and not create:
                raise NotFoundError("topic", spec.name)
            return await self._store(transaction, stored, spec, by), stored is None

        return await self._changes.make(work)

    async def change(
        self, name: str, changes: Mapping[str, Any], *, by: str | None = None
    ) -> StoredTopic:
        """Change what is given of a topic; changes at the same time do not undo each other.

        Args:
            changes: values by the names of :class:`TopicSpec`.

        Raises:
            NotFoundError: there is none of this name.
            InvalidInputError: a channel is not known, or named twice: names each place.
        """

        async def work(transaction: Transaction) -> StoredTopic:
            stored = await _topic(name, transaction.client)
            old = TopicSpec(
                name=stored.name,
                channels=await _channels_of(stored, transaction.client),
                **{name: getattr(stored, name) for name in _PLAIN},
            )
            spec = dataclasses.replace(old, **changes)
            return await self._store(transaction, stored, spec, by)

        return await self._changes.make(work)

    async def delete(self, name: str, *, by: str | None = None) -> None:
        """Delete a topic; its messages stay in the log.

        Raises:
            NotFoundError: there is none of this name.
        """

        async def work(transaction: Transaction) -> None:
            topic = await _topic(name, transaction.client)
            before = await _state(topic, transaction.client)
            await topic.delete(using_db=transaction.client)
            trace = Trace(Action.TOPIC_DELETED, topic.name, before=before)
            await leave(transaction, trace, by=by, at=self._clock())

        await self._changes.make(work)

    async def _store(
        self, transaction: Transaction, stored: Topic | None, spec: TopicSpec, by: str | None
    ) -> StoredTopic:
        client = transaction.client
        channels = await _known_channels([step.channel for step in spec.channels], client)
        now = self._clock()
        before = None if stored is None else await _state(stored, client)
        topic = stored or Topic(name=spec.name, created_at=now)
        topic.update_from_dict({name: getattr(spec, name) for name in _PLAIN} | {"updated_at": now})
        await topic.save(using_db=client, force_create=stored is None)
        await TopicChannel.filter(topic_id=topic.id).using_db(client).delete()
        for position, (channel, step) in enumerate(zip(channels, spec.channels, strict=True)):
            link = TopicChannel(
                topic_id=topic.id,
                channel_id=channel.id,
                position=position,
                condition=step.condition,
            )
            await link.save(using_db=client, force_create=True)
        action = Action.TOPIC_CREATED if stored is None else Action.TOPIC_CHANGED
        trace = Trace(action, topic.name, before, await _state(topic, client))
        await leave(transaction, trace, by=by, at=now)
        return StoredTopic(topic, spec.channels)


async def _state(topic: Topic, client: BaseDBAsyncClient) -> dict[str, Any]:
    steps = await _channels_of(topic, client)
    return topic_state(topic, [(step.channel, step.condition) for step in steps])


async def _channels_of(topic: Topic, client: BaseDBAsyncClient) -> list[TopicStep]:
    """Read a topic's channels, in order."""
    links = await TopicChannel.filter(topic_id=topic.id).using_db(client).order_by("position")
    channels = await Channel.filter(id__in=[one.channel_id for one in links]).using_db(client)
    names = {one.id: one.name for one in channels}
    return [
        TopicStep(names[one.channel_id], one.condition) for one in links if one.channel_id in names
    ]


def _check_name(name: str) -> None:
    """Refuse names that look like the router's own news, and on which nothing would ever come."""
    if name.startswith(SYSTEM_PREFIX) and name not in set(SystemTopic):
        message = f"Topics named {SYSTEM_PREFIX}* are the router's own: {', '.join(SystemTopic)}."
        wrong = FieldError(field="name", code="reserved_name", message=message)
        raise InvalidInputError(message, errors=[wrong])


async def _topic(name: str, client: BaseDBAsyncClient) -> Topic:
    topic = await Topic.filter(name=name.strip().lower()).using_db(client).first()
    if topic is None:
        raise NotFoundError("topic", name)
    return topic


async def _known_channels(names: Sequence[str], client: BaseDBAsyncClient) -> list[Channel]:
    """Find the channels of a topic in order; says all that is wrong with them at once."""
    known = {channel.name: channel for channel in await Channel.all().using_db(client)}
    wrong: list[FieldError] = []
    for index, name in enumerate(names):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            wrong.append(
                FieldError(
                    field=f"channels.{index}",
                    code="channel_not_found",
                    message=f"There is no channel {name!r}.{hint}",
                )
            )
        elif name in names[:index]:
            wrong.append(
                FieldError(
                    field=f"channels.{index}",
                    code="channel_twice",
                    message=f"The channel {name!r} is named twice.",
                )
            )
    if wrong:
        raise InvalidInputError(wrong[0].message, errors=wrong)
    return [known[name] for name in names]
