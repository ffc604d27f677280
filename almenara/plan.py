"""A message and its route become the rows to write; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from almenara.deliveries import LEASE, Claim, Key, NewDelivery, NewMessage, Plan, roll_up
from almenara.routing import ChannelRoute

#: Asks for a free send slot of a channel; true: it is taken for a delivery.
TakeSlot = Callable[[ChannelRoute], bool]


def plan_message(
    message: NewMessage,
    channels: Sequence[ChannelRoute],
    *,
    revision: int,
    now: datetime,
    new_id: Callable[[], UUID],
    take_slot: TakeSlot,
    key: Key | None = None,
    step_deadline: timedelta | None = None,
    lease: timedelta = LEASE,
) -> Plan:
    """Plan one delivery for each channel.

    A delivery is born claimed when it is due now and ``take_slot`` gives it a slot; whoever writes
    the plan owes that slot an attempt, or gives it back.

    Args:
        step_deadline: the channels are a failover chain, and each has so long before the next one
            has its turn.
    """
    due_at = message.send_at or now
    chained = step_deadline is not None
    step = step_deadline or timedelta()
    deliveries = tuple(
        plan_delivery(
            message.id,
            channel,
            position=position,
            priority=message.priority,
            due_at=due_at + position * step,
            now=now,
            new_id=new_id,
            take_slot=take_slot,
            expires_at=message.expires_at,
            chained=chained,
            lease=lease,
        )
        for position, channel in enumerate(channels)
    )
    status = roll_up(
        (delivery.status for delivery in deliveries),
        scheduled=message.send_at is not None,
        chained=chained,
    )
    return Plan(message=message, status=status, deliveries=deliveries, revision=revision, key=key)


def plan_delivery(
    message_id: UUID,
    channel: ChannelRoute,
    *,
    position: int,
    priority: int,
    due_at: datetime,
    now: datetime,
    new_id: Callable[[], UUID],
    take_slot: TakeSlot,
    expires_at: datetime | None = None,
    chained: bool = False,
    lease: timedelta = LEASE,
) -> NewDelivery:
    """Plan the delivery of one message through one channel."""
    delivery_id = new_id()
    claim = None
    if due_at <= now and take_slot(channel):
        claim = Claim(
            delivery_id=delivery_id,
            message_id=message_id,
            channel=channel.name,
            attempt_number=1,
            retry_step=0,
            token=new_id(),
            started_at=now,
            lease_until=now + lease,
        )
    return NewDelivery(
        id=delivery_id,
        message_id=message_id,
        channel=channel.name,
        position=position,
        priority=priority,
        due_at=due_at,
        created_at=now,
        claim=claim,
        expires_at=expires_at,
        chained=chained,
    )


def no_slot(_channel: ChannelRoute) -> bool:
    """Give no slot: everything is born pending."""
    return False
