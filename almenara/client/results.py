"""What the server tells of messages and deliveries, one class for each thing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

MessageStatus = Literal[
    "queued",
    "scheduled",
    "sending",
    "sent",
    "partial",
    "failed",
    "held",
    "cancelled",
    "no_route",
]
DeliveryStatus = Literal["pending", "sending", "held", "sent", "failed", "cancelled"]
Format = Literal["text", "markdown", "html"]

#: Of a delivery: nothing happens by itself any more.
SETTLED = frozenset({"sent", "failed", "held", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedDelivery:
    """One channel that an accepted message goes to."""

    id: str
    channel: str
    status: DeliveryStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A message that is stored, and will be sent."""

    id: str
    status: MessageStatus
    topic: str | None
    reference: str | None = None
    #: It was handed in before, with the same idempotency key; nothing was stored now.
    duplicate: bool
    deliveries: list[AcceptedDelivery]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one message of many that were handed in together."""

    #: As the HTTP status of a single message.
    status: int
    message: Accepted | None = None
    #: The problem document, when it was refused: `detail`, `code`, `errors`.
    problem: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedFile:
    """A file that a message brought."""

    name: str
    media_type: str
    #: In bytes.
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as received, and where it stands."""

    id: str
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
    sender: str | None = None
    metadata: dict[str, Any]
    attachments: list[AttachedFile]
    send_at: datetime | None
    expires_at: datetime | None = None
    collapse_key: str | None = None
    #: When its texts were dropped, because its topic asks for it; the facts stay.
    redacted_at: datetime | None
    #: The trace that it belongs to (W3C Trace Context); ``None``: it came without one.
    traceparent: str | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a delivery."""

    id: str
    number: int
    outcome: Literal[
        "sent", "temporary_error", "permanent_error", "rate_limited", "timeout", "unknown"
    ]
    #: What went wrong, in one sentence.
    error: str | None
    #: The service's own id for the message.
    reference: str | None
    detail: str | None
    started_at: datetime
    finished_at: datetime
    duration_ms: int
    #: Came after the delivery had moved on; moved nothing.
    late: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message for one channel, and where it stands."""

    id: str
    message_id: str
    channel: str
    status: DeliveryStatus
    #: Why it is held, failed or cancelled.
    reason: str | None
    priority: int
    due_at: datetime
    attempt_number: int
    reference: str | None
    #: Part of a failover chain: sent only if those before it did not succeed.
    chained: bool = False
    resend_of: str | None
    #: The replay that made it.
    replay_id: str | None = None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryStory(Delivery):
    """A delivery with its attempts, oldest first."""

    attempts: list[Attempt]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One thing that happened to a message."""

    at: datetime
    #: Such as `accepted`, `attempt_failed`, `sent`, `finished`.
    event: str
    delivery_id: str | None
    channel: str | None
    attempt_number: int | None
    #: In a sentence, for people.
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story(Message):
    """A message with all that happened to it."""

    deliveries: list[DeliveryStory]
    #: The same in the order of time, the oldest first.
    timeline: list[TimelineEntry]

    @property
    def is_settled(self) -> bool:
        """Whether nothing of it will happen by itself any more."""
        return all(one.status in SETTLED for one in self.deliveries)

    @property
    def is_sent(self) -> bool:
        """Whether every delivery that still counts was sent, and there is one.

        A delivery that was sent again does not count: the newer one stands for it.
        """
        replaced = {one.resend_of for one in self.deliveries}
        counting = [one for one in self.deliveries if one.id not in replaced]
        return bool(counting) and all(one.status == "sent" for one in counting)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFilters:
    """What a replay sends again."""

    channel: str | None = None
    topic: str | None = None
    status: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Many deliveries sent again."""

    id: str
    status: Literal["running", "done", "cancelled"]
    filters: ReplayFilters
    rate: str | None
    total_count: int
    resent_count: int
    skipped_count: int
    requested_by: str | None = None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayStory(Replay):
    """A replay with what became of the deliveries that it made, by their status."""

    deliveries: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a replay would send again."""

    count: int
    count_is_capped: bool
    sample: list[Delivery]
