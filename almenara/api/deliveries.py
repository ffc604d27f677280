"""Deliveries: look at them, cancel, release, resend."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel

from almenara.api.authorization import ManagedDeliveryId, Manager, ReadDeliveryId, Reader
from almenara.api.dependencies import Cursor, Limit, Moment, PartsNeeded, Word
from almenara.api.parts import Parts
from almenara.api.problems import problems
from almenara.api.strict import StrictRoute
from almenara.deliveries import Outcome, Reason, Status
from almenara.log import Filters
from almenara.models import Attempt, Delivery

router = APIRouter(
    prefix="/v1", tags=["deliveries"], route_class=StrictRoute, responses=problems(422, 503)
)


class AttemptOut(BaseModel):
    """One try of a delivery."""

    id: UUID
    number: int
    outcome: Outcome
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


class DeliverySummary(BaseModel):
    """One message for one channel, and where it stands."""

    id: UUID
    message_id: UUID
    channel: str
    status: Status
    reason: Reason | None
    priority: int
    due_at: datetime
    attempt_number: int
    reference: str | None
    #: Part of a failover chain: sent only if those before it did not succeed.
    chained: bool
    resend_of: UUID | None
    #: The replay that made it.
    replay_id: UUID | None
    created_at: datetime
    finished_at: datetime | None


class DeliveryOut(DeliverySummary):
    """A delivery with its attempts, oldest first."""

    attempts: list[AttemptOut]


class DeliveryPage(BaseModel):
    """A page of deliveries, newest first."""

    data: list[DeliverySummary]
    next_cursor: str | None


@router.get("/deliveries")
async def list_deliveries(
    parts: PartsNeeded,
    reader: Reader,
    *,
    channel: Word = None,
    topic: Word = None,
    status: Status | None = None,
    reason: Reason | None = None,
    since: Moment = None,
    until: Moment = None,
    replay: Annotated[UUID | None, Query(description="What this replay made.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> DeliveryPage:
    """List deliveries, newest first."""
    filters = Filters(
        topic=topic,
        channel=channel,
        status=status,
        reason=reason,
        since=since,
        until=until,
        replay=replay,
        within=reader.topics,
    )
    page = await parts.log.deliveries(filters, cursor=cursor, limit=limit)
    return DeliveryPage(data=[summary_of(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/deliveries/{id}", responses=problems(404))
async def show_delivery(delivery_id: ReadDeliveryId, parts: PartsNeeded) -> DeliveryOut:
    """Show one delivery with its attempts."""
    return await _shown(parts, delivery_id)


@router.post("/deliveries/{id}/cancel", responses=problems(404, 409))
async def cancel_delivery(
    delivery_id: ManagedDeliveryId, parts: PartsNeeded, manager: Manager
) -> DeliveryOut:
    """Cancel a delivery that waits or is held; one being sent, unless that succeeds or fails."""
    await parts.operator.cancel_delivery(delivery_id, by=manager.subject)
    return await _shown(parts, delivery_id)


@router.post("/deliveries/{id}/release", responses=problems(404, 409))
async def release_delivery(
    delivery_id: ManagedDeliveryId, parts: PartsNeeded, manager: Manager
) -> DeliveryOut:
    """Put a held delivery back: it is due now."""
    await parts.operator.release_delivery(delivery_id, by=manager.subject)
    return await _shown(parts, delivery_id)


@router.post("/deliveries/{id}/resend", status_code=202, responses=problems(404, 409))
async def resend_delivery(
    delivery_id: ManagedDeliveryId, parts: PartsNeeded, manager: Manager
) -> DeliveryOut:
    """Send a final delivery again, as a new one that names it."""
    return await _shown(
        parts, await parts.operator.resend_delivery(delivery_id, by=manager.subject)
    )


def summary_of(delivery: Delivery) -> DeliverySummary:
    """Write a delivery without its attempts."""
    return DeliverySummary(**_fields(delivery))


def delivery_out(delivery: Delivery, attempts: Iterable[Attempt]) -> DeliveryOut:
    """Write a delivery with its attempts."""
    shown = [
        AttemptOut(**{name: getattr(one, name) for name in AttemptOut.model_fields})
        for one in attempts
    ]
    return DeliveryOut(**_fields(delivery), attempts=shown)


async def _shown(parts: Parts, delivery_id: UUID) -> DeliveryOut:
    return delivery_out(*await parts.log.delivery(delivery_id))


def _fields(delivery: Delivery) -> dict[str, Any]:
    return {name: getattr(delivery, name) for name in DeliverySummary.model_fields}
