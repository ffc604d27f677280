"""What the server tells of its set-up: topics, channels, plugins, the audit, what would happen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from almenara.client.results import AttachedFile, Format, MessageStatus

OnUnknown = Literal["retry", "hold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicChannel:
    """A channel of a topic, and which messages it takes."""

    channel: str
    condition: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A name that senders use, and where its messages go."""

    name: str
    strategy: Literal["all", "failover"]
    step_deadline_seconds: int
    channels: list[TopicChannel]
    enabled: bool
    redact: bool
    template: dict[str, Any] | None = None
    accept: dict[str, Any] | str | None = None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One set-up way out; its secrets come back as stars."""

    name: str
    plugin: str
    settings: dict[str, Any]
    enabled: bool
    timeout_seconds: float
    retry_schedule: list[str]
    concurrency: int
    on_unknown: OnUnknown
    rate: str | None
    burst: int | None
    breaker_failures: int
    breaker_wait: str
    template: dict[str, Any] | None = None
    verify_every: str | None = None
    state: str
    state_reason: str | None
    state_detail: str | None
    state_changed_at: datetime | None
    probe_at: datetime | None
    verified_at: datetime | None = None
    verify_outcome: str | None = None
    verify_detail: str | None = None
    created_at: datetime
    updated_at: datetime
    #: What is wrong with it, though it was stored.
    warnings: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """What the silent check of a channel came to."""

    channel: str
    #: Whether its service has such a check at all.
    supported: bool
    verified: bool
    detail: str | None
    error: str | None
    duration_ms: int
    verified_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """A process that runs another version of a plugin."""

    process: str
    role: str
    revision: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere(Differing):
    """A plugin that another process runs, and this one does not."""

    qualified_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A plugin that channels can use."""

    name: str
    qualified_name: str
    source: str
    file: str
    revision: str
    #: JSON Schema.
    settings_schema: dict[str, Any] | None
    secret_fields: list[str]
    verifies: bool
    differing: list[Differing]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenPlugin:
    """A plugin that cannot be used, and why."""

    name: str | None
    directory: str
    file: str
    reason: str
    traceback: str | None
    #: The older revision that goes on in its place.
    runs_on: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugins:
    """The plugins of the server."""

    data: list[Plugin]
    broken: list[BrokenPlugin]
    elsewhere: list[Elsewhere]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who changed what, with before and after."""

    id: str
    subject: str | None
    action: str
    object: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedPlugin:
    """Which plugin would send, or why it could not."""

    name: str
    qualified_name: str | None
    source: str | None
    revision: str | None
    broken: bool
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedPolicy:
    """How it would be tried."""

    timeout_seconds: float
    retry_schedule: list[str]
    concurrency: int
    on_unknown: OnUnknown
    rate: str | None
    burst: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedContent:
    """What would be sent."""

    rendered: bool
    parts: dict[str, Any] | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedChannel:
    """What one channel would do with a message."""

    channel: str
    enabled: bool
    paused: bool
    condition: dict[str, Any] | None
    condition_text: str | None
    matched: bool | None
    would_send: bool
    why_not: str | None
    waits_for: str | None
    due_at: datetime | None
    plugin: ExplainedPlugin
    revision: int
    policy: ExplainedPolicy
    content: ExplainedContent | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedMessage:
    """The message as it would be stored."""

    title: str | None
    description: str
    format: Format
    priority: int
    tags: list[str]
    reference: str | None
    metadata: dict[str, Any]
    attachments: list[AttachedFile]
    idempotency_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would happen to a message; nothing of it is stored."""

    topic: str | None
    strategy: str | None
    enabled: bool | None
    status: MessageStatus
    due_at: datetime
    send_at: datetime | None
    expires_at: datetime | None
    revision: int
    channels: list[ExplainedChannel]
    message: ExplainedMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that serves or sends."""

    id: str
    kind: Literal["server", "worker"]
    host: str
    pid: int
    #: Of Almenara; ``None``: an older one, which does not say.
    version: str | None
    started_at: datetime
    heartbeat_at: datetime
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedCounts:
    """How many messages a topic took, in each step."""

    #: ``None``: a channel was addressed directly.
    topic: str | None
    counts: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCounts:
    """How many attempts came to the same end, in each step."""

    topic: str | None
    channel: str
    outcome: str
    reason: str | None
    counts: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCount:
    """What waits for one channel now."""

    channel: str
    count: int
    oldest_due_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What was counted in a period, in steps of equal length."""

    period: Literal["hour", "day"]
    step_seconds: int
    start: datetime
    end: datetime
    accepted: list[AcceptedCounts]
    attempts: list[AttemptCounts]
    pending: list[PendingCount]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether the server takes messages, and what it looked at."""

    status: str
    checks: dict[str, Any]
    process: str
