"""The contract of a queue, over every queue and every database.

``inline`` makes attempts when told to, at a time that the test says; ``embedded`` makes them by
itself; ``celery`` when it is rung over RabbitMQ. All must tell the same story in the log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from almenara.api.parts import Parts
from almenara.app import running
from almenara.catalogue import ChannelSpec
from almenara.deliveries import NewMessage, Plan, Status
from almenara.errors import UnavailableError
from almenara.log import Story
from almenara.models import new_id
from almenara.queues.base import Queue
from almenara.queues.inline import InlineQueue
from almenara.sending import Wiring, embedded_queue
from almenara.settings import Settings
from tests.celery_queue import CeleryQueue, celery_queue
from tests.plugins.author import Author
from tests.serving import until
from tests.tables import make_tables


@dataclass
class Clock:
    """A clock that tests move; it goes on by itself as well."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Bench:
    """One queue at work."""

    parts: Parts
    clock: Clock

    async def channel(self, plugin: str, **fields: Any) -> None:
        spec = ChannelSpec(name=plugin.lower(), plugin=plugin, **fields)
        await self.parts.channels.write(spec, create=True, replace=True)

    async def accept(self, description: str, channel: str, **fields: Any) -> Plan:
        now = self.clock()
        message = NewMessage(
            **{"id": new_id(), "topic": None, "description": description, "created_at": now}
            | fields
        )
        answer = await self.parts.acceptor.accept(message, channel=channel)
        assert answer.plan is not None
        return answer.plan

    async def story(self, plan: Plan) -> Story:
        return await self.parts.log.story(plan.message.id)

    async def attempted(self, plan: Plan, attempts: int = 1) -> Story:
        """Let the queue work until so many attempts of the message are recorded."""

        async def look() -> Story | None:
            if isinstance(self.parts.queue, InlineQueue):
                await self.parts.queue.run_due(self.clock())
            story = await self.story(plan)
            count = sum(len(one) for one in story.attempts.values())
            return story if count >= attempts else None

        return cast(Story, await until(look))

    async def settled(self) -> None:
        """Let the queue do what it would do now, so that what does not happen can be seen."""
        witness = await self.accept("witness", "witness")
        await self.attempted(witness)
        if isinstance(self.parts.queue, CeleryQueue):
            # The witness was claimed by its ring: that says nothing of what only a scan finds.
            await self.parts.queue.scanned()


def inline_queue(wiring: Wiring) -> Queue:
    return InlineQueue(ledger=wiring.ledger, routing=wiring.routing, dispatcher=wiring.dispatcher)


#: One after another: they share the lines of one broker.
_RABBITMQ = (pytest.mark.rabbitmq, pytest.mark.xdist_group("rabbitmq"))


@pytest.fixture(params=["inline", "embedded", pytest.param("celery", marks=_RABBITMQ)])
def make_queue(request: pytest.FixtureRequest) -> Any:
    made = {"inline": inline_queue, "embedded": embedded_queue, "celery": celery_queue}
    return made[request.param]


@pytest.fixture
def author(settings: Settings) -> Author:
    return Author(settings.plugins_dir)


@asynccontextmanager
async def bench_of(settings: Settings, make_queue: Any) -> AsyncIterator[Bench]:
    clock = Clock()
    await make_tables(settings)
    async with running(settings, clock=clock, make_queue=make_queue) as parts:
        bench = Bench(parts, clock)
        await parts.channels.write(
            ChannelSpec(name="witness", plugin="Log"), create=True, replace=True
        )
        yield bench


@pytest.fixture
async def bench(settings: Settings, author: Author, make_queue: Any) -> AsyncIterator[Bench]:
    async with bench_of(settings, make_queue) as one:
        yield one


async def test_what_is_accepted_is_sent(bench: Bench, author: Author) -> None:
    await bench.channel("Sink")
    plan = await bench.accept("hello", "sink")
    story = await bench.attempted(plan)
    assert story.message.status == "sent"
    assert story.deliveries[0].status == Status.SENT
    assert [one["description"] for one in author.traces()] == ["hello"]


async def test_what_failed_is_tried_again_when_it_is_due_and_not_before(bench: Bench) -> None:
    await bench.channel("Told", retry_schedule=["1h"])
    plan = await bench.accept("temporary", "told")
    story = await bench.attempted(plan)
    assert story.deliveries[0].status == Status.PENDING
    wait = story.deliveries[0].due_at - bench.clock()
    assert timedelta(minutes=45) < wait < timedelta(minutes=75)
    await bench.settled()
    assert len((await bench.story(plan)).attempts[story.deliveries[0].id]) == 1
    bench.clock.ahead = timedelta(hours=2)
    story = await bench.attempted(plan, attempts=2)
    assert (story.deliveries[0].status, story.deliveries[0].reason) == ("failed", "exhausted")
    assert story.message.status == "failed"


async def test_what_is_scheduled_is_not_sent_before_its_time(bench: Bench, author: Author) -> None:
    await bench.channel("Sink")
    plan = await bench.accept("later", "sink", send_at=bench.clock() + timedelta(hours=1))
    assert plan.status == "scheduled"
    await bench.settled()
    assert author.traces() == []
    bench.clock.ahead = timedelta(hours=1, seconds=1)
    story = await bench.attempted(plan)
    assert story.message.status == "sent"


async def test_what_waits_for_a_disabled_channel_waits_until_it_is_enabled(bench: Bench) -> None:
    await bench.channel("Told", retry_schedule=["1m", "1m"])
    plan = await bench.accept("temporary", "told")
    await bench.attempted(plan)
    await bench.channel("Told", retry_schedule=["1m", "1m"], enabled=False)
    bench.clock.ahead = timedelta(minutes=5)
    await bench.settled()
    story = await bench.story(plan)
    assert story.deliveries[0].status == Status.PENDING
    assert len(story.attempts[story.deliveries[0].id]) == 1
    await bench.channel("Told", retry_schedule=["1m", "1m"])
    await bench.attempted(plan, attempts=2)


async def test_the_most_urgent_goes_first_and_then_the_oldest(bench: Bench, author: Author) -> None:
    await bench.channel("Sink", enabled=False, concurrency=1)
    later = bench.clock() + timedelta(minutes=1)
    await bench.channel("Sink", concurrency=1)
    plans = [
        await bench.accept(name, "sink", priority=priority, send_at=later)
        for name, priority in (("first", 3), ("second", 3), ("urgent", 1), ("idle", 5))
    ]
    bench.clock.ahead = timedelta(minutes=2)
    for plan in plans:
        await bench.attempted(plan)
    assert [one["description"] for one in author.traces()] == [
        "urgent",
        "first",
        "second",
        "idle",
    ]


async def test_what_is_held_waits_for_an_operator(bench: Bench) -> None:
    await bench.channel("Told", timeout_seconds=1, on_unknown="hold")
    plan = await bench.accept("hang", "told")
    story = await bench.attempted(plan)
    [delivery] = story.deliveries
    assert (delivery.status, delivery.reason) == ("held", "unknown_outcome")
    assert story.message.status == "held"
    await bench.settled()
    assert len((await bench.story(plan)).attempts[delivery.id]) == 1
    await bench.channel("Told", timeout_seconds=1, retry_schedule=[])
    await bench.parts.operator.release_delivery(delivery.id)
    story = await bench.attempted(plan, attempts=2)
    assert story.deliveries[0].status == Status.FAILED


async def test_a_stopped_queue_claims_nothing_and_loses_nothing(
    bench: Bench, settings: Settings, make_queue: Any
) -> None:
    await bench.channel("Sink")
    await bench.parts.queue.drain(1)
    plan = await bench.accept("after the drain", "sink")
    assert plan.deliveries[0].status == Status.PENDING
    assert not bench.parts.queue.healthy
    story = await bench.story(plan)
    assert story.deliveries[0].attempt_number == 0


async def test_nothing_is_accepted_by_a_ledger_that_closed(bench: Bench) -> None:
    await bench.channel("Sink")
    await bench.parts.ledger.close()
    with pytest.raises(UnavailableError):
        await bench.accept("too late", "sink")


async def test_many_deliveries_are_each_sent_once(bench: Bench, author: Author) -> None:
    await bench.channel("Sink", concurrency=3)
    plans = [await bench.accept(f"message {number}", "sink") for number in range(40)]
    for plan in plans:
        story = await bench.attempted(plan)
        assert story.message.status == "sent"
    descriptions = [one["description"] for one in author.traces()]
    assert sorted(descriptions) == sorted(plan.message.description for plan in plans)


async def test_one_channel_that_hangs_does_not_hold_up_another(
    bench: Bench, author: Author
) -> None:
    if isinstance(bench.parts.queue, InlineQueue):
        pytest.skip("the inline queue makes one attempt after another")
    await bench.channel("Told", concurrency=2)
    await bench.channel("Sink")
    stuck = [await bench.accept("wait for the end", "told") for _ in range(10)]
    plan = await bench.accept("quick", "sink")
    story = await bench.attempted(plan)
    assert story.message.status == "sent"
    sending = [one for plan in stuck for one in (await bench.story(plan)).deliveries]
    assert sum(one.status == Status.SENDING for one in sending) == 2
    author.allow("the end")
    for one in stuck:
        await bench.attempted(one)
