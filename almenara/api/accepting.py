"""Accepting: hand in one message, many, or one on the topic in the path."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ValidationError

from almenara.accept import Answer
from almenara.api.attachment_bodies import uploads_of
from almenara.api.authorization import Sender
from almenara.api.body import BatchRoute, StrictRoute, UnreadableBodyError, check_value
from almenara.api.dependencies import Name, Parts, PartsNeeded
from almenara.api.errors import describe_error, field_errors, first_sentence, problem_content
from almenara.api.foreign import ForeignRoute, TemplateName
from almenara.api.incoming import FORM, MessageRoute
from almenara.api.message_bodies import (
    BatchIn,
    BatchItemIn,
    IdempotencyKey,
    MessageBody,
    MessageIn,
)
from almenara.api.problems import BODY, problems
from almenara.api.traced import TRACED, Traceparent
from almenara.auth import Principal
from almenara.deliveries import MessageStatus, NewDelivery, NewMessage
from almenara.errors import AlmenaraError, InvalidInputError
from almenara.models import Delivery, Message

router = APIRouter(
    prefix="/v1", tags=["messages"], route_class=StrictRoute, responses=problems(409, 422, 503)
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
    #: Whether an equal message came under the same idempotency key before.
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


async def accept_message(
    body: MessageIn,
    parts: PartsNeeded,
    sender: Sender,
    response: Response,
    *,
    traceparent: Traceparent,
    key: IdempotencyKey = None,
) -> AcceptedOut:
    """Accept a message: 202 means that it is committed, synced to disk, and will be attempted.

    With the header `Idempotency-Key` the same key and message are stored once: a repetition is
    answered by the first message, with `duplicate: true`. The header `traceparent` (W3C Trace
    Context) is kept with the message.
    """
    sender.require_way(body.topic, body.channel)
    answer = await accept_body(
        body, body.topic, parts, sender, channel=body.channel, key=key, traceparent=traceparent
    )
    return await _answer(answer, parts, response)


router.add_api_route(
    "/messages",
    accept_message,
    methods=["POST"],
    status_code=202,
    responses=problems(*BODY),
    route_class_override=MessageRoute,
    openapi_extra=FORM | TRACED,
)


async def accept_batch(
    body: BatchIn, parts: PartsNeeded, sender: Sender, traceparent: Traceparent
) -> BatchOut:
    """Accept up to a hundred messages; each is accepted or refused on its own, in order."""
    # At once, so that they share a commit.
    items = [_accept_item(item, parts, sender, traceparent) for item in body.messages]
    return BatchOut(data=await asyncio.gather(*items))


router.add_api_route(
    "/messages/batch",
    accept_batch,
    methods=["POST"],
    responses=problems(*BODY),
    route_class_override=BatchRoute,
    openapi_extra=TRACED,
)


async def accept_on_topic(
    name: Name,
    body: MessageBody,
    parts: PartsNeeded,
    sender: Sender,
    response: Response,
    *,
    traceparent: Traceparent,
    template: TemplateName = None,
    key: IdempotencyKey = None,
) -> AcceptedOut:
    """Accept a message whose topic stands in the path, for webhooks.

    With `template`, or on a topic with an `accept` mapping, any JSON body is taken, and the message
    is made of it.
    """
    del template  # the route has read the body by it already
    sender.require_way(name, None)
    answer = await accept_body(body, name, parts, sender, key=key, traceparent=traceparent)
    return await _answer(answer, parts, response)


router.add_api_route(
    "/topics/{name}/messages",
    accept_on_topic,
    methods=["POST"],
    status_code=202,
    responses=problems(*BODY),
    route_class_override=ForeignRoute,
    openapi_extra=FORM | TRACED,
)


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


def accepting_headers(answer: Answer) -> dict[str, str]:
    """Return the headers of the answer to an accepted message, their names in lower case."""
    headers = {"location": f"/v1/messages/{answer.message_id}"}
    if answer.duplicate:
        headers["idempotency-replayed"] = "true"
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
    content = body.content(topic, sender=sender.subject, attachments=files, traceparent=traceparent)
    return await parts.acceptor.accept(content, channel=channel, key=key)


async def _answer(answer: Answer, parts: Parts, response: Response) -> AcceptedOut:
    response.headers.update(accepting_headers(answer))
    return await accepted_out(answer, parts)


async def _accept_item(
    item: Any, parts: Parts, sender: Principal, traceparent: str | None
) -> BatchItem:
    try:
        check_value(item)
        body = BatchItemIn.model_validate(item)
        sender.require_way(body.topic, body.channel)
        answer = await accept_body(
            body,
            body.topic,
            parts,
            sender,
            channel=body.channel,
            key=body.idempotency_key,
            traceparent=traceparent,
        )
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
    return BatchItem(status=202, message=await accepted_out(answer, parts))
