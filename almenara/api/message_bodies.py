"""What a sender writes: a message with its address, without it, or many."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, model_validator

from almenara.api.attachment_bodies import Attachments
from almenara.api.fields import NAME_PATTERN, StrictModel, refusal, written_out
from almenara.deliveries import AttachedFile, NewMessage
from almenara.models import new_id
from almenara.plugin import Format

#: An idempotency key: printable ASCII, so long at the most.
KEY_PATTERN = r"^[\x20-\x7e]+$"
LONGEST_KEY = 255

#: A message may be scheduled so far ahead.
FURTHEST = timedelta(days=366)


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("Write at least one character that is not a space.")
    return value


def _ahead(value: datetime) -> datetime:
    now = datetime.now(UTC)
    if not now < value <= now + FURTHEST:
        raise ValueError("Write a time from now to a year ahead.")
    return value.astimezone(UTC)


Moment = Annotated[
    AwareDatetime, BeforeValidator(written_out), Field(strict=False), AfterValidator(_ahead)
]


class MessageBody(StrictModel):
    """A message without its address."""

    description: Annotated[str, Field(min_length=1), AfterValidator(_not_blank)] = Field(
        description="The text.", examples=["I need help with my plan"]
    )
    title: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None, description="A short heading."
    )
    format: Format = Field(default="text", description="How the text is written.")
    priority: Annotated[int, Field(ge=1, le=5)] = Field(
        default=3, description="1 is the most urgent, 5 the least."
    )
    tags: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=32)
    ] = Field(default_factory=list, description="Words of yours, for plugins.")
    data: dict[str, Any] = Field(
        default_factory=dict, description="Structured content, for plugins."
    )
    to: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=320)]], Field(max_length=100)
    ] = Field(default_factory=list, description="Recipients, for channels that allow it.")
    attachments: Attachments = Field(
        default_factory=list, description="Files, 10 MiB together, for channels that carry them."
    )
    reference: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None, description="Your own reference; the log can be searched for it."
    )
    metadata: dict[str, Any] = Field(default_factory=dict, description="Yours; only kept.")
    send_at: Moment | None = Field(
        default=None, description="Not before this time, which has its zone; up to a year ahead."
    )

    expires_at: Moment | None = Field(
        default=None, description="Never sent after this time; later than `send_at`."
    )
    collapse_key: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None,
        description="A newer message with the same topic and key cancels this one while it waits.",
    )

    @model_validator(mode="after")
    def _check_expiry(self) -> Self:
        if self.expires_at and self.send_at and self.expires_at <= self.send_at:
            raise refusal(
                "expires_at", code="not_after_send_at", message="Write a time after send_at."
            )
        return self

    def content(
        self,
        topic: str | None,
        *,
        sender: str | None = None,
        attachments: Sequence[AttachedFile] = (),
        traceparent: str | None = None,
        created_at: datetime | None = None,
    ) -> NewMessage:
        """Return the message as accepting takes it.

        Args:
            attachments: what it brings, which is stored already.
            created_at: when it came; absent: now.
            traceparent: the context of its trace.
        """
        return NewMessage(
            id=new_id(),
            topic=topic,
            description=self.description,
            created_at=created_at or datetime.now(UTC),
            title=self.title,
            format=self.format,
            priority=self.priority,
            tags=self.tags,
            data=self.data,
            to=self.to,
            reference=self.reference,
            metadata=self.metadata,
            attachments=attachments,
            sender=sender,
            send_at=self.send_at,
            expires_at=self.expires_at,
            collapse_key=self.collapse_key,
            traceparent=traceparent,
        )


class MessageIn(MessageBody):
    """A message with its address: a topic, or a channel."""

    topic: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="The topic, in any case.", examples=["sales"]
    )
    channel: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="Addresses one channel directly; a topic is then only kept."
    )

    @model_validator(mode="after")
    def _check_address(self) -> MessageIn:
        if self.topic is None and self.channel is None:
            message = "Name a topic, or a channel."
            raise refusal("topic", code="missing", message=message)
        # With a channel nobody looks the topic up, so nobody else would find that it is no name.
        kept = self.topic if self.channel is not None else None
        if kept is not None and not re.fullmatch(NAME_PATTERN, kept.strip().lower()):
            message = f"Write a topic's name, in any case: {NAME_PATTERN}."
            raise refusal("topic", code="string_pattern_mismatch", message=message)
        return self


class BatchItemIn(MessageIn):
    """A message of a batch, which may bring a key of its own."""

    idempotency_key: Annotated[str, Field(max_length=LONGEST_KEY, pattern=KEY_PATTERN)] | None = (
        Field(default=None, description="As the header `Idempotency-Key` of a single message.")
    )


class BatchIn(StrictModel):
    """Up to a hundred messages, each answered on its own."""

    messages: list[Any] = Field(min_length=1, max_length=100)
