"""Accepting: hand in one message, many, or one on the topic in the path."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ValidationError

from almenara.accept import Answer
from almenara.api.accepted import AcceptedOut, accept_body, accepted_out, accepting_headers
from almenara.api.authorization import Sender
from almenara.api.body import UnreadableBodyError, check_value
from almenara.api.dependencies import TRACED, IdempotencyKey, Name, PartsNeeded, Traceparent
from almenara.api.errors import describe_error, field_errors, first_sentence, problem_content
from almenara.api.foreign import ForeignRoute, TemplateName
from almenara.api.incoming import FORM, MessageRoute
from almenara.api.message_bodies import BatchIn, BatchItemIn, MessageBody, MessageIn
from almenara.api.parts import Parts
from almenara.api.problems import BODY, problems
from almenara.api.strict import BatchRoute, StrictRoute
from almenara.auth import Principal
from almenara.errors import AlmenaraError, InvalidInputError

router = APIRouter(
    prefix="/v1", tags=["messages"], route_class=StrictRoute, responses=problems(409, 422, 503)
)


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


async def _answer(answer: Answer, parts: Parts, response: Response) -> AcceptedOut:
    response.raw_headers += accepting_headers(answer)
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
