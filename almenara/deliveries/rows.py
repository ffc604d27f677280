"""The rows of one accepted message, as they will be inserted.

Tuples: they are made for each message that comes in, and a frozen dataclass of as many fields takes
four times as long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from almenara.deliveries.states import Claim, MessageStatus, Status
from almenara.plugin import Format

#: What a message without data has; nobody writes into it.
_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file that a message brings; its content is stored before the message."""

    name: str
    media_type: str
    #: In bytes.
    size: int
    #: The content's, in hexadecimal.
    sha256: str


class NewMessage(NamedTuple):
    """A message to be inserted, as received."""

    id: UUID
    topic: str | None
    description: str
    created_at: datetime
    title: str | None = None
    format: Format = "text"
    priority: int = 3
    tags: Sequence[str] = ()
    data: Mapping[str, Any] = _NOTHING
    to: Sequence[str] = ()
    reference: str | None = None
    metadata: Mapping[str, Any] = _NOTHING
    attachments: Sequence[AttachedFile] = ()
    sender: str | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    collapse_key: str | None = None
    #: Its texts are dropped when it is finished.
    redact: bool = False
    #: The context of the trace that it belongs to.
    traceparent: str | None = None


class NewDelivery(NamedTuple):
    """A delivery to be inserted: pending, or born claimed by the process that accepts it."""

    id: UUID
    message_id: UUID
    channel: str
    position: int
    priority: int
    due_at: datetime
    created_at: datetime
    #: Set for one that is born claimed, because a send slot is free for it now.
    claim: Claim | None = None
    resend_of: UUID | None = None
    expires_at: datetime | None = None
    #: Part of a failover chain, in the order of ``position``.
    chained: bool = False
    replay_id: UUID | None = None

    @property
    def status(self) -> Status:
        """The state in which it is born."""
        return Status.SENDING if self.claim else Status.PENDING


class Key(NamedTuple):
    """An idempotency key, and what it came with."""

    #: Whose key it is; empty for a sender without a token.
    sender: str
    key: str
    #: A digest of the message, so that another message under the same key is seen.
    fingerprint: str


class Plan(NamedTuple):
    """Everything that accepting one message writes, made from one state of the configuration."""

    message: NewMessage
    status: MessageStatus
    deliveries: Sequence[NewDelivery]
    #: The configuration's revision that the plan was made from.
    revision: int
    key: Key | None = None
