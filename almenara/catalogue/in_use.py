"""What keeps a channel from being deleted: topics that use it, deliveries that wait for it."""

from __future__ import annotations

from almenara.database import Transaction
from almenara.errors import ConflictError
from almenara.models import Channel, Topic, TopicChannel


async def refuse_if_used(transaction: Transaction, channel: Channel) -> None:
    """Refuse to delete a channel that is in use.

    Raises:
        ConflictError: names the topics, or says that deliveries wait.
    """
    links = TopicChannel.filter(channel_id=channel.id).using_db(transaction.client)
    topics = await Topic.filter(id__in=[link.topic_id for link in await links]).using_db(
        transaction.client
    )
    if topics:
        names = ", ".join(sorted(topic.name for topic in topics))
        raise ConflictError(
            f"The channel {channel.name!r} is used by: {names}. Take it out of them first, or add "
            "?force=true.",
            code="channel_in_use",
        )
    waiting = await transaction.fetch(
        "SELECT id FROM delivery WHERE channel = $1"
        " AND status IN ('pending', 'sending', 'held') LIMIT 1",
        channel.name,
    )
    if waiting:
        raise ConflictError(
            f"Deliveries wait for the channel {channel.name!r}. Wait until they are sent, or "
            "cancel them with ?force=true.",
            code="channel_has_deliveries",
        )
