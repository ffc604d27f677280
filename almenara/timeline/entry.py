"""One entry of a time line, and the kinds there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Kind(StrEnum):
    """What an entry of a time line tells."""

    #: The message was stored, and got its deliveries.
    ACCEPTED = "accepted"
    #: No channel took it.
    NO_ROUTE = "no_route"
    #: It is not to be sent before a later time.
    SCHEDULED = "scheduled"
    #: What had no route was routed anew.
    ROUTED = "routed"
    #: A delivery was made that sends an older one again.
    RESENT = "resent"
    #: In a failover chain, the next channel has its turn.
    CHAIN_MOVED = "chain_moved"
    ATTEMPT_BEGAN = "attempt_began"
    #: The attempt went wrong, and its delivery knows it.
    ATTEMPT_FAILED = "attempt_failed"
    #: The process died, or stopped waiting: perhaps sent, perhaps not.
    ATTEMPT_UNKNOWN = "attempt_unknown"
    #: A result came after its delivery had moved on; it moved nothing.
    LATE_RESULT = "late_result"
    #: A delivery waits for its due time.
    WAITING = "waiting"
    #: A delivery waits for an operator.
    HELD = "held"
    #: An operator put a held delivery back.
    RELEASED = "released"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: Nothing of the message waits any more.
    FINISHED = "finished"
    #: The message's texts were dropped.
    REDACTED = "redacted"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, in a sentence."""

    at: datetime
    event: Kind
    text: str
    delivery_id: UUID | None = None
    channel: str | None = None
    attempt_number: int | None = None
