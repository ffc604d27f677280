"""What every way in does with a message that may be accepted, and how it is answered.

Apart from the routes, because plain messages are accepted before those are loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter

from almenara.accept import Answer
from almenara.api.attachment_bodies import uploads_of
from almenara.api.message_bodies import MessageBody
from almenara.api.parts import Parts
from almenara.auth import Principal
from almenara.deliveries import MessageStatus, NewDelivery, NewMessage
from almenara.models import Delivery, Message


# No models: what is made of our own rows needs no checking, which takes as long as writing it.
@dataclass(slots=True)
class AcceptedDelivery:
    """A delivery that a message was given."""

    id: UUID
    channel: str
    status: str


@dataclass(slots=True, kw_only=True)
class AcceptedOut:
    """A message that is stored, and will be attempted."""

    id: UUID
    status: MessageStatus
    topic: str | None
    reference: str | None
    #: Whether an equal message came under the same idempotency key before.
    duplicate: bool = False
    deliveries: list[AcceptedDelivery]
    created_at: datetime


#: Writes an answer as JSON.
write_accepted = TypeAdapter(AcceptedOut).serializer.to_json


async def accepted_out(answer: Answer, parts: Parts) -> AcceptedOut:
    """Write the answer to an accepted message: as planned, or as the first one stands by now."""
    if answer.plan is not None:
        plan = answer.plan
        return _accepted_out(plan.message, plan.status, plan.deliveries)
    story = await parts.log.story(answer.message_id)
    status = MessageStatus(story.message.status)
    return _accepted_out(story.message, status, story.deliveries, duplicate=True)


def _accepted_out(
    message: NewMessage | Message,
    status: MessageStatus,
    deliveries: Iterable[NewDelivery | Delivery],
    *,
    duplicate: bool = False,
) -> AcceptedOut:
    return AcceptedOut(
        id=message.id,
        status=status,
        topic=message.topic,
        reference=message.reference,
        duplicate=duplicate,
        deliveries=[
            AcceptedDelivery(id=one.id, channel=one.channel, status=one.status)
            for one in deliveries
        ],
        created_at=message.created_at,
    )


def accepting_headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    """Return the headers of the answer to an accepted message, as ASGI has them."""
    headers = [(b"location", f"/v1/messages/{answer.message_id}".encode())]
    if answer.duplicate:
        headers.append((b"idempotency-replayed", b"true"))
    return headers


async def accept_body(
    body: MessageBody,
    topic: str | None,
    parts: Parts,
    sender: Principal,
    *,
    channel: str | None = None,
    key: str | None = None,
    traceparent: str | None = None,
) -> Answer:
    """Store what a message brings, then the message."""
    uploads = uploads_of(body.attachments)
    files = await parts.uploads.store(uploads) if uploads else ()
    content = body.content(
        topic,
        sender=sender.subject,
        attachments=files,
        traceparent=traceparent,
        created_at=parts.acceptor.now(),
    )
    return await parts.acceptor.accept(content, channel=channel, key=key)
