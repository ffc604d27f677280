"""A message as one channel is to send it: in the words of its templates, with what it can carry."""

from __future__ import annotations

import asyncio
from html import escape as escape_html

from almenara.deliveries import NewMessage
from almenara.dispatch.attached import Attach
from almenara.dispatch.detach import detached
from almenara.formats import MARKDOWN
from almenara.plugin import Message
from almenara.routing import ChannelRoute, TopicRoute
from almenara.templates import put_in_words

_KIB, _MIB = 1024, 1_048_576


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
    if copy.attachments and not carries_attachments:
        _note_attachments(copy)
    return copy


def _note_attachments(message: Message) -> None:
    """Say what a channel cannot carry, in the format of the text."""
    files = [f"{one.name} ({_size(one.size)})" for one in message.attachments]
    note = f"Attached, but not sent by this channel: {', '.join(files)}"
    if message.format == "html":
        message.description += f"\n<p>{escape_html(note)}</p>"
    elif message.format == "markdown":
        message.description += f"\n\n{MARKDOWN.escape(note)}"
    else:
        message.description += f"\n\n{note}"
    message.attachments = []


def _size(count: int) -> str:
    if count < _KIB:
        return f"{count} B"
    return f"{count / _KIB:.0f} KiB" if count < _MIB else f"{count / _MIB:.1f} MiB"
