"""What would happen to a message: its route, its channels, what each would send; nothing stored."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from almenara.conditions import describe, matches
from almenara.deliveries import MessageStatus, NewMessage, Status, roll_up
from almenara.dispatch import Preview, Previewer
from almenara.errors import PluginError
from almenara.loader import Plugins
from almenara.routing import ChannelRoute, FoundRoute, Routing, Table, TopicRoute, find_route


@dataclass(frozen=True, slots=True)
class PluginFacts:
    """Which class would send, and whether it can."""

    #: As the channel writes it.
    name: str
    #: The directory's name and the class's; ``None``: it was not found.
    qualified_name: str | None = None
    #: Where it comes from: ``shipped``, ``directory``, ``entry point``.
    source: str | None = None
    #: A short hash of its file's content.
    revision: str | None = None
    #: Why it cannot be used, in a sentence.
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One channel, and what it would do with the message."""

    channel: ChannelRoute
    plugin: PluginFacts
    condition: Mapping[str, Any] | None = None
    #: The condition in a sentence.
    condition_text: str | None = None
    #: Whether the condition lets the message through; ``None``: there is none.
    matched: bool | None = None
    #: Why it gets no delivery; ``None``: it would get one.
    why_not: str | None = None
    #: What would keep its delivery waiting.
    waits_for: str | None = None
    #: When it would be due; in a failover chain, when it would have its turn at the latest.
    due_at: datetime | None = None
    #: What would be sent; ``None``: nothing.
    preview: Preview | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would happen to one message that came now."""

    message: NewMessage
    #: ``None``: it is addressed to a channel.
    topic: TopicRoute | None
    status: MessageStatus
    due_at: datetime
    #: In the topic's order, also those that would not get it.
    steps: Sequence[Step]
    #: The configuration's revision that this was read from.
    revision: int


class Explainer:
    """Says what accepting a message would come to."""

    def __init__(
        self,
        *,
        routing: Routing,
        plugins: Plugins,
        previewer: Previewer,
        clock: Callable[[], datetime],
    ) -> None:
        self._routing = routing
        self._plugins = plugins
        self._previewer = previewer
        self._clock = clock

    async def explain(self, message: NewMessage, *, channel: str | None = None) -> Explanation:
        """Say what would happen; nothing is stored, no slot taken, nothing sent.

        Plugins are asked what they would send; no connection is held meanwhile.

        Raises:
            InvalidInputError: there is no such topic or channel, as when accepting.
        """
        table = await self._routing.refresh()
        now = self._clock()
        route = find_route(table, message.topic, channel, message)
        message = message._replace(topic=route.topic, created_at=now)
        topic = None if channel is not None else table.topic(route.topic or "")
        due_at = message.send_at or now
        steps = [_step(topic, one, message, route, due_at) for one in _listed(table, topic, route)]
        return Explanation(
            message=message,
            topic=topic,
            status=roll_up(
                [Status.PENDING] * len(route.channels), scheduled=message.send_at is not None
            ),
            due_at=due_at,
            steps=await asyncio.gather(
                *(
                    self._completed(one, message, table.topics.get(route.topic or ""))
                    for one in steps
                )
            ),
            revision=table.revision,
        )

    async def _completed(self, step: Step, message: NewMessage, topic: TopicRoute | None) -> Step:
        """Add the plugin, and what it would send."""
        try:
            plugin = self._plugins.get(step.channel.plugin)
        except PluginError as error:
            return dataclasses.replace(
                step,
                plugin=PluginFacts(step.channel.plugin, error=error.message),
                preview=Preview(error=error.message) if step.why_not is None else None,
            )
        facts = PluginFacts(
            name=step.channel.plugin,
            qualified_name=plugin.qualified_name,
            source=plugin.source,
            revision=plugin.revision,
        )
        preview = None
        if step.why_not is None:
            preview = await self._previewer.preview(step.channel, message, topic)
        return dataclasses.replace(step, plugin=facts, preview=preview)


def _listed(table: Table, topic: TopicRoute | None, route: FoundRoute) -> Sequence[ChannelRoute]:
    """Return the channels to speak of: also those of the topic that get nothing."""
    return route.channels if topic is None else [table.channels[name] for name in topic.channels]


def _step(
    topic: TopicRoute | None,
    channel: ChannelRoute,
    message: NewMessage,
    route: FoundRoute,
    due_at: datetime,
) -> Step:
    condition = topic.conditions.get(channel.name) if topic else None
    step = Step(
        channel=channel,
        plugin=PluginFacts(channel.plugin),
        condition=condition,
        condition_text=describe(condition) if condition else None,
        matched=matches(condition, message) if condition else None,
    )
    if channel not in route.channels:
        return dataclasses.replace(step, why_not=_why_not(topic, channel))
    place = route.channels.index(channel) if route.step_deadline else 0
    return dataclasses.replace(
        step,
        waits_for=_waits_for(channel, place),
        due_at=due_at + place * (route.step_deadline or timedelta()),
    )


def _why_not(topic: TopicRoute | None, channel: ChannelRoute) -> str:
    if topic is not None and not topic.enabled:
        return f"The topic {topic.name} is disabled."
    if not channel.enabled:
        return f"The channel {channel.name} is disabled."
    return "The message is not one of those that its condition lets through."


def _waits_for(channel: ChannelRoute, place: int) -> str | None:
    """Say what would keep a delivery waiting.

    Args:
        place: how many channels stand before it in a failover chain.
    """
    if not channel.enabled:
        return "The channel is disabled: what is addressed to it waits until it is enabled."
    if channel.paused:
        return "The channel is paused: what is for it waits until it is resumed."
    if place > 0:
        return (
            "It has its turn when the channel before it has failed or is held, or when that has "
            "not sent by then; never, if a channel before it has sent."
        )
    return None
