"""The states of a delivery and of a message: pure, with no database in sight."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID


class Status(StrEnum):
    """Where a delivery stands."""

    #: Waits until ``due_at``: the first time, scheduled, or for a retry.
    PENDING = "pending"
    #: Claimed; the lease runs.
    SENDING = "sending"
    #: Waits for an operator.
    HELD = "held"
    #: The plugin finished without an error. Final.
    SENT = "sent"
    #: Given up. Final.
    FAILED = "failed"
    #: Stopped. Final.
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why a delivery is held, failed or cancelled."""

    #: held: a process died, or the deadline passed, and the channel says hold.
    UNKNOWN_OUTCOME = "unknown_outcome"
    #: held: three processes died on it.
    POISON = "poison"
    #: failed: the plugin said that trying again would not help.
    PERMANENT = "permanent"
    #: failed: the retry schedule is used up.
    EXHAUSTED = "exhausted"
    #: failed: its message's time was over before it was sent.
    EXPIRED = "expired"
    #: cancelled: a newer message with its topic and collapse key came.
    COLLAPSED = "collapsed"
    #: cancelled: in a failover chain, the deadline of its step passed while it waited.
    SUPERSEDED = "superseded"
    #: cancelled: in a failover chain, another channel sent the message.
    NOT_NEEDED = "not_needed"
    #: cancelled: somebody asked for it.
    OPERATOR = "operator"
    #: cancelled: its channel was deleted.
    CHANNEL_DELETED = "channel_deleted"


class Outcome(StrEnum):
    """How an attempt ended."""

    SENT = "sent"
    TEMPORARY_ERROR = "temporary_error"
    PERMANENT_ERROR = "permanent_error"
    RATE_LIMITED = "rate_limited"
    #: The deadline passed.
    TIMEOUT = "timeout"
    #: The process died, or was stopped, while the plugin held it: perhaps sent, perhaps not.
    UNKNOWN = "unknown"


class MessageStatus(StrEnum):
    """Where a message stands, rolled up from its deliveries."""

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    SENT = "sent"
    PARTIAL = "partial"
    FAILED = "failed"
    HELD = "held"
    CANCELLED = "cancelled"
    NO_ROUTE = "no_route"


FINAL = frozenset({Status.SENT, Status.FAILED, Status.CANCELLED})

#: Every move there is; whatever is not here never happens.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.SENDING, Status.CANCELLED, Status.FAILED}),
    Status.SENDING: frozenset(
        {Status.SENT, Status.FAILED, Status.PENDING, Status.HELD, Status.CANCELLED}
    ),
    Status.HELD: frozenset({Status.PENDING, Status.CANCELLED}),
    Status.SENT: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}

#: How long a claim is its holder's, unless it is renewed; longer than the longest attempt (20 s)
#: plus a margin.
LEASE = timedelta(seconds=30)

#: So many processes may die on a delivery before it is held.
DEATHS_ALLOWED = 3

#: So many of these deaths may be another delivery's fault, which was in flight beside it; then it
#: is tried alone in its process, so that only its own death makes it poison.
DEATHS_IN_COMPANY = 2

#: Where a failover chain goes on to its next channel.
ENDED_WITHOUT_SUCCESS = frozenset({Status.FAILED, Status.HELD, Status.CANCELLED})


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make one attempt of one delivery, and to record its result."""

    delivery_id: UUID
    message_id: UUID
    channel: str
    attempt_number: int
    retry_step: int
    #: The fence: only the holder of the row's token may move it.
    token: UUID
    started_at: datetime
    #: When the lease ends if it is not renewed.
    lease_until: datetime = field(compare=False)
    #: Not later than the lease began, by the monotonic clock: wall clocks jump.
    claimed_at: float = field(default_factory=time.monotonic, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """What one attempt came to, and where its delivery goes."""

    claim: Claim
    outcome: Outcome
    finished_at: datetime
    #: Where the delivery goes, if the claim still holds.
    status: Status
    reason: Reason | None = None
    #: When it is due again, for ``pending``.
    due_at: datetime | None = None
    retry_step: int = 0
    death_count: int = 0
    #: The channel itself could not send: its failure is not the message's.
    misconfigured: bool = False
    #: What went wrong, for people, secrets masked.
    error: str | None = None
    reference: str | None = None
    detail: str | None = None
    #: Its message's, where it was read for the figures.
    topic: str | None = None


def roll_up(
    statuses: Iterable[str], *, scheduled: bool = False, chained: bool = False
) -> MessageStatus:
    """Return a message's status from those of its deliveries (the resent ones left out).

    Args:
        scheduled: the message is to be sent at a later time, and nothing was tried yet.
        chained: the deliveries are a failover chain, which counts by its end.
    """
    present = set(statuses)
    if not present:
        return MessageStatus.NO_ROUTE
    waiting = MessageStatus.SCHEDULED if scheduled else MessageStatus.QUEUED
    whole = chained or present == {Status.SENT}
    for one, rolled_up in (
        (Status.SENDING, MessageStatus.SENDING),
        (Status.PENDING, waiting),
        (Status.HELD, MessageStatus.HELD),
        (Status.SENT, MessageStatus.SENT if whole else MessageStatus.PARTIAL),
        (Status.FAILED, MessageStatus.FAILED),
    ):
        if one in present:
            return rolled_up
    return MessageStatus.CANCELLED


def after_unknown(on_unknown: str | None, death_count: int) -> tuple[Status, Reason | None]:
    """Decide where a delivery of unknown outcome goes: tried again, or held."""
    if death_count >= DEATHS_ALLOWED:
        return Status.HELD, Reason.POISON
    if on_unknown == "hold":
        return Status.HELD, Reason.UNKNOWN_OUTCOME
    return Status.PENDING, None


def by_id(condition: str) -> str:
    """Write a condition in SQL for rows that are found by their ids, and by no index but that.

    PostgreSQL may believe that hardly any delivery waits or is being sent, and would then read all
    of those instead: its statistics are older than a backlog that has just come.
    """
    return f"({condition}) IS TRUE"
