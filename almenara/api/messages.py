"""Messages: hand one in, look at them, cancel, resend."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ValidationError

from almenara.api.body import BatchRoute, StrictRoute, UnreadableBodyError, check_value
from almenara.api.deliveries import DeliveryOut, delivery_out
from almenara.api.dependencies import (
    Cursor,
    Limit,
    MessageId,
    Moment,
    Name,
    Parts,
    PartsNeeded,
    Text,
    Word,
)
from almenara.api.errors import describe_error, field_errors, first_sentence, problem_content
from almenara.api.message_bodies import BatchIn, MessageBody, MessageIn
from almenara.api.problems import BODY, problems
from almenara.deliveries import MessageStatus, Plan
from almenara.errors import AlmenaraError, InvalidInputError
from almenara.log import Filters, Story
from almenara.models import Message
from almenara.plugin import Format

router = APIRouter(
    prefix="/v1", tags=["messages"], route_class=StrictRoute, responses=problems(422, 503)
)


class AcceptedDelivery(BaseModel):
    """A delivery that a message was given."""

    id: UUID
    channel: str
    status: str


class AcceptedOut(BaseModel):
    """A message that is stored, and will be attempted."""

    id: UUID
    status: MessageStatus
    topic: str | None
    reference: str | None
    #: Always false until idempotency keys come.
    duplicate: bool = False
    deliveries: list[AcceptedDelivery]
    created_at: datetime


class BatchItem(BaseModel):
    """The answer to one message of a batch."""

    status: int
    message: AcceptedOut | None = None
    problem: dict[str, Any] | None = None


class BatchOut(BaseModel):
    """The answers to a batch, in its order."""

    data: list[BatchItem]


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
    metadata: dict[str, Any]
    send_at: datetime | None
    created_at: datetime


class MessageStory(MessageOut):
    """A message with all that happened to it."""

    deliveries: list[DeliveryOut]


class MessagePage(BaseModel):
    """A page of messages, newest first."""

    data: list[MessageOut]
    next_cursor: str | None


@router.post("/messages", status_code=202, responses=problems(*BODY))
async def accept_message(body: MessageIn, parts: PartsNeeded, response: Response) -> AcceptedOut:
    """Accept a message: 202 means that it is committed, synced to disk, and will be attempted."""
    plan = await parts.acceptor.accept(body.content(body.topic), channel=body.channel)
    response.headers["Location"] = f"/v1/messages/{plan.message.id}"
    return accepted_out(plan)


async def accept_batch(body: BatchIn, parts: PartsNeeded) -> BatchOut:
    """Accept up to a hundred messages; each is accepted or refused on its own, in order."""
    # At once, so that they share a commit.
    items = [_accept_item(item, parts) for item in body.messages]
    return BatchOut(data=await asyncio.gather(*items))


router.add_api_route(
    "/messages/batch",
    accept_batch,
    methods=["POST"],
    responses=problems(*BODY),
    route_class_override=BatchRoute,
)


@router.post("/topics/{name}/messages", status_code=202, responses=problems(*BODY))
async def accept_on_topic(
    name: Name, body: MessageBody, parts: PartsNeeded, response: Response
) -> AcceptedOut:
    """Accept a message whose topic stands in the path, for webhooks."""
    plan = await parts.acceptor.accept(body.content(name))
    response.headers["Location"] = f"/v1/messages/{plan.message.id}"
    return accepted_out(plan)


@router.get("/messages")
async def list_messages(
    parts: PartsNeeded,
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
    )
    page = await parts.log.messages(filters, cursor=cursor, limit=limit)
    return MessagePage(
        data=[MessageOut(**_fields(row)) for row in page.rows], next_cursor=page.next_cursor
    )


@router.get("/messages/{id}", responses=problems(404))
async def show_message(message_id: MessageId, parts: PartsNeeded) -> MessageStory:
    """Show one message with its deliveries and their attempts."""
    return story_out(await parts.log.story(message_id))


@router.post("/messages/{id}/cancel", responses=problems(404, 409))
async def cancel_message(message_id: MessageId, parts: PartsNeeded) -> MessageStory:
    """Cancel what of a message waits; what is being sent just now ends first."""
    await parts.operator.cancel_message(message_id)
    return story_out(await parts.log.story(message_id))


@router.post("/messages/{id}/resend", status_code=202, responses=problems(404, 409))
async def resend_message(
    message_id: MessageId,
    parts: PartsNeeded,
    *,
    sent_too: Annotated[bool, Query(description="Also what was sent.")] = False,
) -> MessageStory:
    """Send again what of a message failed or was cancelled, as new deliveries."""
    await parts.operator.resend_message(message_id, sent_too=sent_too)
    return story_out(await parts.log.story(message_id))


def accepted_out(plan: Plan) -> AcceptedOut:
    """Write the answer to an accepted message."""
    return AcceptedOut(
        id=plan.message.id,
        status=plan.status,
        topic=plan.message.topic,
        reference=plan.message.reference,
        deliveries=[
            AcceptedDelivery(id=one.id, channel=one.channel, status=one.status)
            for one in plan.deliveries
        ],
        created_at=plan.message.created_at,
    )


def story_out(story: Story) -> MessageStory:
    """Write one message with all that happened to it."""
    deliveries: Sequence[DeliveryOut] = [
        delivery_out(one, story.attempts.get(one.id, ())) for one in story.deliveries
    ]
    return MessageStory(**_fields(story.message), deliveries=list(deliveries))


async def _accept_item(item: Any, parts: Parts) -> BatchItem:
    try:
        check_value(item)
        body = MessageIn.model_validate(item)
        plan = await parts.acceptor.accept(body.content(body.topic), channel=body.channel)
    except ValidationError as error:
        errors = field_errors(error.errors(include_input=False, include_url=False))
        refusal = describe_error(InvalidInputError(first_sentence(errors), errors=errors))
        return BatchItem(status=refusal["status"], problem=refusal)
    except UnreadableBodyError as error:
        refusal = problem_content(error.status_code, error.code, error.detail, error.errors)
        return BatchItem(status=error.status_code, problem=refusal)
    except AlmenaraError as error:
        refusal = describe_error(error)
        return BatchItem(status=refusal["status"], problem=refusal)
    return BatchItem(status=202, message=accepted_out(plan))


def _fields(message: Message) -> dict[str, Any]:
    names = set(MessageOut.model_fields) - {"to"}
    return {name: getattr(message, name) for name in names} | {"to": message.recipients}
