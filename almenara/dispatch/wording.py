"""A message as one channel is to send it: in the words of its templates."""

from __future__ import annotations

import asyncio

from almenara.deliveries import NewMessage
from almenara.dispatch.detach import detached
from almenara.plugin import Message
from almenara.routing import ChannelRoute, TopicRoute
from almenara.templates import put_in_words


async def worded(
    message: NewMessage,
    channel: ChannelRoute,
    topic: TopicRoute | None,
    *,
    idempotency_key: str,
) -> Message:
    """Return the plugin's own copy of a message, worded by the channel's and the topic's templates.

    Raises:
        PermanentError: a template cannot be filled with this message.
    """
    copy = detached(message, channel=channel.name, idempotency_key=idempotency_key)
    common = None if topic is None else topic.template
    if channel.template is not None or common is not None:
        await asyncio.to_thread(put_in_words, copy, channel=channel.template, topic=common)
    return copy
