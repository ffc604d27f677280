"""The relay: what is rung for, how often, and what becomes of it while the broker is away."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from almenara.deliveries import NewDelivery
from almenara.errors import UnavailableError
from almenara.models import new_id
from almenara.queues import relay
from almenara.queues.relay import RelayQueue, Rung
from tests.serving import until

NOW = datetime(2026, 11, 25, tzinfo=UTC)


class Bell:
    """Notes what it is told, and fails when told to."""

    def __init__(self) -> None:
        self.rung: list[tuple[Rung, bool]] = []
        self.trouble: Exception | None = None
        self.probe_count = 0
        self.failure_count = 0
        self.closed = False
        self.open = threading.Event()
        self.open.set()

    def ring(self, rung: Rung, *, urgent: bool) -> None:
        assert self.open.wait(5)
        if self.trouble:
            self.failure_count += 1
            raise self.trouble
        self.rung.append((rung, urgent))

    def probe(self) -> None:
        self.probe_count += 1
        if self.trouble:
            raise self.trouble

    def close(self) -> None:
        self.closed = True


def waiting(
    channel: str, count: int = 1, *, priority: int = 3, due: datetime = NOW
) -> Sequence[NewDelivery]:
    return [
        NewDelivery(
            id=new_id(),
            message_id=new_id(),
            channel=channel,
            position=0,
            priority=priority,
            due_at=due,
            created_at=NOW,
        )
        for _ in range(count)
    ]


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
async def queue(bell: Bell, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RelayQueue]:
    monkeypatch.setattr(relay, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(relay, "_LONGEST_PAUSE", 0.02)
    one = RelayQueue(bell)
    await one.start()
    yield one
    await one.drain(1)
    assert bell.closed


async def rung(bell: Bell, count: int) -> list[tuple[Rung, bool]]:
    async def look() -> bool:
        return len(bell.rung) >= count

    await until(look)
    return bell.rung


def ids(rings: Sequence[tuple[Rung, bool]]) -> list[UUID]:
    return [one for line, _ in rings for many in line.values() for one in many]


async def test_what_came_while_it_rang_is_rung_for_at_once(bell: Bell, queue: RelayQueue) -> None:
    bell.open.clear()
    first, rest = waiting("slack"), [*waiting("slack", 30), *waiting("mail", 20)]
    queue.ring_for(first)
    for one in rest:
        queue.ring_for([one])
    bell.open.set()
    rings = await rung(bell, 1)
    await until(lambda: _len_is(bell, 51))
    assert len(rings) <= 2
    assert sorted(ids(bell.rung)) == sorted(one.id for one in [*first, *rest])


async def _len_is(bell: Bell, count: int) -> bool:
    return len(ids(bell.rung)) == count


async def test_many_are_parted_so_that_more_than_one_worker_hears_of_them(
    bell: Bell, queue: RelayQueue
) -> None:
    queue.ring_for(waiting("slack", 250))
    rings = await rung(bell, 3)
    assert [len(line["slack"]) for line, _ in rings] == [100, 100, 50]


async def test_what_is_urgent_goes_by_its_own_line_and_first(bell: Bell, queue: RelayQueue) -> None:
    usual, urgent = waiting("slack"), waiting("sms", priority=1)
    queue.ring_for([*usual, *urgent])
    assert await rung(bell, 2) == [
        ({"sms": [urgent[0].id]}, True),
        ({"slack": [usual[0].id]}, False),
    ]


async def test_what_is_not_due_is_not_rung_for(bell: Bell, queue: RelayQueue) -> None:
    queue.ring_for(waiting("slack", due=NOW + timedelta(hours=1)))
    queue.ring(["mail"])
    assert await rung(bell, 1) == [({"mail": []}, False)]


async def test_a_broker_that_is_away_is_told_and_nothing_is_saved_up(
    bell: Bell, queue: RelayQueue
) -> None:
    assert queue.trouble is None
    bell.trouble = UnavailableError("RabbitMQ is away.")
    queue.ring_for(waiting("slack", 500))

    async def troubled() -> bool:
        return queue.trouble is not None

    await until(troubled)
    assert queue.trouble == (
        "RabbitMQ is away. Until then, workers look for what is due every second."
    )
    assert queue.healthy
    queue.ring_for(waiting("slack", 500))
    failures = bell.failure_count

    async def tried_again() -> bool:
        return bell.failure_count > failures + 2

    await until(tried_again)
    bell.trouble = None

    async def works() -> bool:
        return queue.trouble is None

    await until(works)
    last = waiting("mail")
    queue.ring_for(last)
    rings = await rung(bell, 2)
    assert rings[0] == ({}, False), "it tried what an alarm would refuse"
    assert ids(rings)[-1:] == [last[0].id]
    assert len(ids(rings)) < 500


async def test_a_mistake_of_ours_does_not_end_it(bell: Bell, queue: RelayQueue) -> None:
    bell.trouble = KeyError("a mistake")
    queue.ring(["slack"])

    async def failed() -> bool:
        return bell.failure_count > 0

    await until(failed)
    bell.trouble = None
    queue.ring(["mail"])
    [(line, _), *_] = await rung(bell, 1)
    assert "mail" in line


async def test_it_sends_nothing_itself(queue: RelayQueue) -> None:
    queue.return_slot("slack")
    queue.start_attempts([])
    assert not queue.take_slot(None)  # type: ignore[arg-type]  # whatever it is
