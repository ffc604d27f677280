"""A message as one channel is to send it: in the words of its templates, with what it can carry."""

from __future__ import annotations

import asyncio

from almenara.deliveries import NewMessage
from almenara.dispatch.attached import Attach
from almenara.dispatch.detach import detached
from almenara.formats import leave_out
from almenara.plugin import Message
from almenara.routing import ChannelRoute, TopicRoute
from almenara.templates import put_in_words


async def worded(
    message: NewMessage,
    channel: ChannelRoute,
    topic: TopicRoute | None,
    *,
    idempotency_key: str,
    attach: Attach,
    carries_attachments: bool,
) -> Message:
    """Return the plugin's own copy of a message, worded by the channel's and the topic's templates.

    Args:
        topic: where the message came in, if it is known.
        attach: makes the files that the plugin is given.
        carries_attachments: whether the plugin sends files; else a note names them.

    Raises:
        PermanentError: a template cannot be filled with this message.
    """
    copy = detached(message, channel=channel.name, idempotency_key=idempotency_key, attach=attach)
    common = None if topic is None else topic.template
    if channel.template is not None or common is not None:
        await asyncio.to_thread(put_in_words, copy, channel=channel.template, topic=common)
    if not carries_attachments:
        leave_out(copy, copy.attachments)
    return copy
