"""Explaining: what would happen to a message, without storing it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from almenara.api.attachment_bodies import AttachmentOut, uploads_of
from almenara.api.authorization import READS_CONFIG
from almenara.api.dependencies import IdempotencyKey, Name, PartsNeeded
from almenara.api.foreign import ForeignRoute, TemplateName
from almenara.api.incoming import FORM, MessageRoute
from almenara.api.message_bodies import MessageBody, MessageIn
from almenara.api.problems import BODY, problems
from almenara.api.strict import StrictRoute
from almenara.deliveries import MessageStatus
from almenara.dispatch import Preview
from almenara.explain import Explanation, Step
from almenara.retry import write_duration
from almenara.routing import ChannelRoute
from almenara.uploads import describe

router = APIRouter(
    prefix="/v1", tags=["messages"], route_class=StrictRoute, responses=problems(422, 503)
)


class ExplainedPlugin(BaseModel):
    """The class that would send."""

    name: str
    qualified_name: str | None
    source: str | None
    #: A short hash of its file's content: another content, another revision.
    revision: str | None
    broken: bool
    #: Why it cannot be used.
    error: str | None


class ExplainedPolicy(BaseModel):
    """How the channel sends."""

    timeout_seconds: float
    retry_schedule: list[str]
    concurrency: int
    on_unknown: str
    rate: str | None
    burst: int | None


class ExplainedContent(BaseModel):
    """What would be sent."""

    #: Whether the plugin has rendered it; else it is the message as it came.
    rendered: bool
    #: By name, as the plugin calls its parts; `null` when that cannot be said.
    parts: dict[str, Any] | None
    #: Why it cannot be said.
    error: str | None


class ExplainedChannel(BaseModel):
    """One channel, and what it would do with the message."""

    channel: str
    enabled: bool
    paused: bool
    condition: dict[str, Any] | None
    #: The condition in a sentence.
    condition_text: str | None
    #: Whether it lets the message through; `null` without a condition.
    matched: bool | None
    #: Whether it would get a delivery.
    would_send: bool
    why_not: str | None
    #: What would keep the delivery waiting.
    waits_for: str | None
    #: When it would be due; in a failover chain, when it would have its turn at the latest.
    due_at: datetime | None
    plugin: ExplainedPlugin
    #: The channel's revision: it moves with each change of the channel.
    revision: int
    policy: ExplainedPolicy
    #: `null`: nothing would be sent.
    content: ExplainedContent | None


class ExplainedMessage(BaseModel):
    """A message as it would be stored."""

    title: str | None
    description: str
    format: str
    priority: int
    tags: list[str]
    reference: str | None
    #: Yours, or what a template could not make of a foreign body.
    metadata: dict[str, Any]
    attachments: list[AttachmentOut]
    #: What a repetition would be recognized by.
    idempotency_key: str | None


class Explained(BaseModel):
    """What would happen to a message that came now."""

    topic: str | None
    #: `null` for a message that is addressed to a channel; so is `enabled`.
    strategy: str | None
    enabled: bool | None
    status: MessageStatus = Field(description="What the message's status would be at first.")
    due_at: datetime
    send_at: datetime | None
    expires_at: datetime | None
    #: The configuration's revision that this was read from.
    revision: int
    #: In order, also those that would not get it.
    channels: list[ExplainedChannel]
    message: ExplainedMessage = Field(
        description="The message as it would be stored: where a template reads a foreign body, "
        "what it makes of it."
    )


async def explain_message(
    body: MessageIn, parts: PartsNeeded, key: IdempotencyKey = None
) -> Explained:
    """Say what would happen to a message: its channels, why, and what each would send.

    Nothing is stored and nothing is sent. What would be refused is refused in the same words.
    """
    files = await describe(uploads_of(body.attachments))
    content = body.content(body.topic, attachments=files)
    return _explained(await parts.explainer.explain(content, channel=body.channel), key)


router.add_api_route(
    "/messages/explain",
    explain_message,
    methods=["POST"],
    responses=problems(*BODY),
    dependencies=[READS_CONFIG],
    route_class_override=MessageRoute,
    openapi_extra=FORM,
)


async def explain_on_topic(
    name: Name,
    body: MessageBody,
    parts: PartsNeeded,
    *,
    template: TemplateName = None,
    key: IdempotencyKey = None,
) -> Explained:
    """Say what would happen to a body on a topic, a foreign one too."""
    del template  # the route has read the body by it already
    files = await describe(uploads_of(body.attachments))
    content = body.content(name, attachments=files)
    return _explained(await parts.explainer.explain(content), key)


router.add_api_route(
    "/topics/{name}/messages/explain",
    explain_on_topic,
    methods=["POST"],
    responses=problems(*BODY),
    dependencies=[READS_CONFIG],
    route_class_override=ForeignRoute,
    openapi_extra=FORM,
)


def _explained(explanation: Explanation, key: str | None) -> Explained:
    topic, message = explanation.topic, explanation.message
    return Explained(
        topic=message.topic,
        strategy=topic and topic.strategy,
        enabled=topic and topic.enabled,
        status=explanation.status,
        due_at=explanation.due_at,
        send_at=message.send_at,
        expires_at=message.expires_at,
        revision=explanation.revision,
        channels=[_channel(step) for step in explanation.steps],
        message=ExplainedMessage(
            title=message.title,
            description=message.description,
            format=message.format,
            priority=message.priority,
            tags=list(message.tags),
            reference=message.reference,
            metadata=dict(message.metadata),
            attachments=[AttachmentOut(**asdict(one)) for one in message.attachments],
            idempotency_key=key,
        ),
    )


def _channel(step: Step) -> ExplainedChannel:
    return ExplainedChannel(
        channel=step.channel.name,
        enabled=step.channel.enabled,
        paused=step.channel.paused,
        condition=None if step.condition is None else dict(step.condition),
        condition_text=step.condition_text,
        matched=step.matched,
        would_send=step.why_not is None,
        why_not=step.why_not,
        waits_for=step.waits_for,
        due_at=step.due_at,
        plugin=ExplainedPlugin(
            name=step.plugin.name,
            qualified_name=step.plugin.qualified_name,
            source=step.plugin.source,
            revision=step.plugin.revision,
            broken=step.plugin.error is not None,
            error=step.plugin.error,
        ),
        revision=step.channel.revision,
        policy=_policy(step.channel),
        content=step.preview and _content(step.preview),
    )


def _policy(channel: ChannelRoute) -> ExplainedPolicy:
    return ExplainedPolicy(
        timeout_seconds=channel.timeout_seconds,
        retry_schedule=[write_duration(wait) for wait in channel.retry_schedule],
        concurrency=channel.concurrency,
        on_unknown=channel.on_unknown,
        rate=channel.rate,
        burst=channel.burst,
    )


def _content(preview: Preview) -> ExplainedContent:
    return ExplainedContent(
        rendered=preview.rendered,
        parts=None if preview.content is None else dict(preview.content),
        error=preview.error,
    )
