"""What accepting a message writes: pure, so every moment and every slot is told here."""

from __future__ import annotations

from datetime import timedelta

import pytest

from almenara.deliveries import LEASE, NewMessage, Plan, Status
from almenara.models import new_id
from almenara.plan import no_slot, plan_message
from almenara.routing import ChannelRoute
from tests.stored import NOW, a_channel


class Slots:
    """As many slots as it is given, by the channel's name; remembers who asked."""

    def __init__(self, **free: int) -> None:
        self.free = free
        self.asked: list[str] = []

    def __call__(self, channel: ChannelRoute) -> bool:
        self.asked.append(channel.name)
        self.free[channel.name] = self.free.get(channel.name, 0) - 1
        return self.free[channel.name] >= 0


def planned(*names: str, slots: Slots | None = None, after: int | None = None) -> Plan:
    """Plan a message; ``after``: it is to be sent so many seconds from now."""
    message = NewMessage(
        id=new_id(),
        topic="sales",
        description="A word.",
        created_at=NOW,
        priority=2,
        send_at=None if after is None else NOW + timedelta(seconds=after),
    )
    return plan_message(
        message,
        [a_channel(name) for name in names],
        revision=7,
        now=NOW,
        new_id=new_id,
        take_slot=slots or no_slot,
    )


def test_each_channel_gets_one_delivery_in_the_topics_order() -> None:
    plan = planned("zeta", "alpha", "midway")
    assert [one.channel for one in plan.deliveries] == ["zeta", "alpha", "midway"]
    assert [one.position for one in plan.deliveries] == [0, 1, 2]
    assert len({one.id for one in plan.deliveries}) == 3
    assert {one.message_id for one in plan.deliveries} == {plan.message.id}
    assert {one.priority for one in plan.deliveries} == {2}
    assert plan.revision == 7


def test_without_a_free_slot_it_is_born_pending_and_due_now() -> None:
    [delivery] = planned("team").deliveries
    assert (delivery.status, delivery.claim) == (Status.PENDING, None)
    assert (delivery.due_at, delivery.created_at, delivery.resend_of) == (NOW, NOW, None)


def test_with_a_free_slot_it_is_born_claimed() -> None:
    plan = planned("team", slots=Slots(team=1))
    [delivery] = plan.deliveries
    claim = delivery.claim
    assert claim is not None
    assert (plan.status, delivery.status) == ("sending", Status.SENDING)
    assert (claim.delivery_id, claim.message_id) == (delivery.id, plan.message.id)
    assert (claim.channel, claim.attempt_number, claim.retry_step) == ("team", 1, 0)
    assert (claim.started_at, claim.lease_until) == (NOW, NOW + LEASE)
    assert claim.token not in {delivery.id, plan.message.id}


def test_each_claim_has_a_token_of_its_own() -> None:
    plan = planned("one", "two", slots=Slots(one=1, two=1))
    assert len({one.claim.token for one in plan.deliveries if one.claim}) == 2


def test_each_delivery_takes_a_slot_of_its_own_channel() -> None:
    slots = Slots(one=1, two=0, three=1)
    plan = planned("one", "two", "three", slots=slots)
    assert [one.status for one in plan.deliveries] == ["sending", "pending", "sending"]
    assert slots.asked == ["one", "two", "three"]
    assert plan.status == "sending"


def test_what_is_scheduled_takes_no_slot_and_is_due_at_its_time() -> None:
    slots = Slots(team=1)
    plan = planned("team", slots=slots, after=60)
    [delivery] = plan.deliveries
    assert (plan.status, delivery.status) == ("scheduled", Status.PENDING)
    assert delivery.due_at == NOW + timedelta(minutes=1)
    assert slots.asked == []


@pytest.mark.parametrize("after", [0, -1])
def test_what_was_scheduled_for_a_time_that_has_come_is_sent_at_once(after: int) -> None:
    plan = planned("team", slots=Slots(team=1), after=after)
    assert (plan.status, plan.deliveries[0].status) == ("sending", Status.SENDING)


def test_what_waits_for_a_slot_is_queued() -> None:
    assert planned("one", "two").status == "queued"


@pytest.mark.parametrize("after", [None, 60])
def test_without_a_channel_there_is_no_route(after: int | None) -> None:
    plan = planned(slots=Slots(), after=after)
    assert (plan.status, plan.deliveries) == ("no_route", ())
