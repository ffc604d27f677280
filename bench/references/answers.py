"""The answer of the references, as one writes it with FastAPI: models."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from almenara.deliveries import MessageStatus


class AcceptedDelivery(BaseModel):
    """A delivery that a message was given."""

    id: UUID
    channel: str
    status: str


class AcceptedOut(BaseModel):
    """A message that was accepted; as Almenara answers it."""

    id: UUID
    status: MessageStatus
    topic: str | None
    reference: str | None
    duplicate: bool = False
    deliveries: list[AcceptedDelivery]
    created_at: datetime
