"""Messages: look at them, cancel, resend."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from almenara.api.attachment_bodies import MOST_FILES, AttachmentOut
from almenara.api.authorization import ManagedMessageId, Manager, Reader, ReadMessageId
from almenara.api.deliveries import DeliveryOut, delivery_out
from almenara.api.dependencies import (
    Cursor,
    Limit,
    Moment,
    PartsNeeded,
    Text,
    Word,
)
from almenara.api.problems import problems
from almenara.api.strict import StrictRoute
from almenara.deliveries import AttachedFile, MessageStatus
from almenara.dispatch import read_chunks
from almenara.errors import NotFoundError
from almenara.log import Filters, Story
from almenara.models import Message
from almenara.plugin import Format
from almenara.timeline import Kind, tell

router = APIRouter(
    prefix="/v1", tags=["messages"], route_class=StrictRoute, responses=problems(422, 503)
)


class MessageOut(BaseModel):
    """A message as received, and where it stands."""

    id: UUID
    status: MessageStatus
    topic: str | None
    title: str | None
    description: str
    format: Format
    priority: int
    tags: list[str]
    data: dict[str, Any]
    to: list[str]
    reference: str | None
    #: Whose token it came with.
    sender: str | None
    metadata: dict[str, Any]
    attachments: list[AttachmentOut]
    send_at: datetime | None
    expires_at: datetime | None
    collapse_key: str | None
    #: When its texts were dropped, because its topic asks for it; the facts stay.
    redacted_at: datetime | None
    #: The trace that it belongs to (W3C Trace Context): its sender's, if that sent one.
    traceparent: str | None
    created_at: datetime


class TimelineEntry(BaseModel):
    """One thing that happened to a message."""

    at: datetime
    event: Kind
    delivery_id: UUID | None
    channel: str | None
    attempt_number: int | None
    #: In a sentence, for people.
    text: str


class MessageStory(MessageOut):
    """A message with all that happened to it."""

    deliveries: list[DeliveryOut]
    #: The same in the order of time, the oldest first.
    timeline: list[TimelineEntry]


class MessagePage(BaseModel):
    """A page of messages, newest first."""

    data: list[MessageOut]
    next_cursor: str | None


@router.get("/messages")
async def list_messages(
    parts: PartsNeeded,
    reader: Reader,
    *,
    topic: Word = None,
    channel: Word = None,
    status: MessageStatus | None = None,
    reference: Text = None,
    since: Moment = None,
    until: Moment = None,
    q: Text = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> MessagePage:
    """List messages, newest first; `q` looks at the newest 10,000, then hands back a cursor."""
    filters = Filters(
        topic=topic,
        channel=channel,
        status=status,
        reference=reference,
        since=since,
        until=until,
        q=q,
        within=reader.topics,
    )
    page = await parts.log.messages(filters, cursor=cursor, limit=limit)
    return MessagePage(data=[message_out(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/messages/{id}", responses=problems(404))
async def show_message(message_id: ReadMessageId, parts: PartsNeeded) -> MessageStory:
    """Show one message with its deliveries, their attempts, and its time line."""
    return story_out(await parts.log.story(message_id))


@router.get(
    "/messages/{id}/attachments/{number}",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The content."},
        **problems(404),
    },
)
async def show_attachment(
    message_id: ReadMessageId,
    number: Annotated[int, Path(ge=1, le=MOST_FILES, description="The first one is 1.")],
    parts: PartsNeeded,
) -> StreamingResponse:
    """Give the content of a file that a message brought, as it was stored."""
    files = (await parts.log.story(message_id)).message.attachments or []
    if number > len(files):
        raise NotFoundError("attachment", str(number))
    file = AttachedFile(**files[number - 1])  # type: ignore[arg-type]  # written by the ledger
    return StreamingResponse(
        read_chunks(parts.database, file),
        # Whatever a sender calls it, a browser is not to run it from here.
        media_type="application/octet-stream",
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name)}",
            "Content-Length": str(file.size),
        },
    )


@router.post("/messages/{id}/cancel", responses=problems(404, 409))
async def cancel_message(
    message_id: ManagedMessageId, parts: PartsNeeded, manager: Manager
) -> MessageStory:
    """Cancel what of a message waits; what is being sent just now ends first."""
    await parts.operator.cancel_message(message_id, by=manager.subject)
    return story_out(await parts.log.story(message_id))


@router.post("/messages/{id}/resend", status_code=202, responses=problems(404, 409))
async def resend_message(
    message_id: ManagedMessageId,
    parts: PartsNeeded,
    manager: Manager,
    *,
    sent_too: Annotated[bool, Query(description="Also what was sent.")] = False,
) -> MessageStory:
    """Send again what of a message failed or was cancelled, as new deliveries."""
    await parts.operator.resend_message(message_id, sent_too=sent_too, by=manager.subject)
    return story_out(await parts.log.story(message_id))


def message_out(message: Message) -> MessageOut:
    """Write one message as lists have it."""
    return MessageOut(**_fields(message))


def story_out(story: Story) -> MessageStory:
    """Write one message with all that happened to it."""
    deliveries: Sequence[DeliveryOut] = [
        delivery_out(one, story.attempts.get(one.id, ())) for one in story.deliveries
    ]
    entries = tell(story.message, story.deliveries, story.attempts)
    return MessageStory(
        **_fields(story.message),
        deliveries=list(deliveries),
        timeline=[TimelineEntry(**dataclasses.asdict(one)) for one in entries],
    )


def _fields(message: Message) -> dict[str, Any]:
    names = set(MessageOut.model_fields) - {"to", "attachments"}
    return {name: getattr(message, name) for name in names} | {
        "to": message.recipients,
        "attachments": message.attachments or [],
    }
