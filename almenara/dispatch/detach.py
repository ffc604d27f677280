"""A message as a plugin gets it: a copy of its own."""

from __future__ import annotations

from typing import Any

from almenara.deliveries import NewMessage
from almenara.dispatch.attached import Attach
from almenara.plugin import Message


def detached(message: NewMessage, *, channel: str, idempotency_key: str, attach: Attach) -> Message:
    """Detach a message for one plugin: what the plugin does to it reaches nobody else."""
    return Message.model_construct(
        id=message.id,
        topic=message.topic,
        channel=channel,
        title=message.title,
        description=message.description,
        format=message.format,
        priority=message.priority,
        tags=list(message.tags),
        data=_copied(message.data),
        to=list(message.to),
        attachments=attach(message.attachments) if message.attachments else [],
        reference=message.reference,
        metadata=_copied(message.metadata),
        created_at=message.created_at,
        idempotency_key=idempotency_key,
    )


def _copied(value: Any) -> Any:
    """Copy JSON values deeply; far cheaper than ``copy.deepcopy``."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
