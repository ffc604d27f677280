"""Expiry, collapsing, and turns, over every queue and every database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from almenara.deliveries import Status
from almenara.errors import ConflictError
from almenara.queues.inline import InlineQueue
from tests.contracts.test_queues import Bench, author, bench, make_queue
from tests.plugins.author import Author

__all__ = ["author", "bench", "make_queue"]


async def ended(bench: Bench, plan: Any) -> Any:
    """Let the queue look at everything twice, and return the message's one delivery."""
    await bench.settled()
    await bench.settled()
    return (await bench.story(plan)).deliveries[0]


async def test_what_expires_while_it_waits_is_never_sent(bench: Bench, author: Author) -> None:
    await bench.channel("Sink", enabled=False)
    plan = await bench.accept("late", "sink", expires_at=bench.clock() + timedelta(minutes=1))
    bench.clock.ahead = timedelta(minutes=2)
    delivery = await ended(bench, plan)
    assert (delivery.status, delivery.reason) == (Status.FAILED, "expired")
    assert (await bench.story(plan)).message.status == "failed"
    await bench.channel("Sink")
    await bench.settled()
    assert author.traces() == []


async def test_what_is_sent_in_time_does_not_expire(bench: Bench) -> None:
    await bench.channel("Sink")
    plan = await bench.accept("soon", "sink", expires_at=bench.clock() + timedelta(minutes=1))
    await bench.attempted(plan)
    bench.clock.ahead = timedelta(minutes=2)
    assert (await ended(bench, plan)).status == Status.SENT


async def test_a_retry_after_the_expiry_is_not_waited_for(bench: Bench) -> None:
    await bench.channel("Told", retry_schedule=["1h"])
    plan = await bench.accept("temporary", "told", expires_at=bench.clock() + timedelta(minutes=5))
    story = await bench.attempted(plan)
    [delivery] = story.deliveries
    assert (delivery.status, delivery.reason) == (Status.FAILED, "expired")
    assert delivery.finished_at is not None


async def test_what_is_expired_is_not_sent_again(bench: Bench) -> None:
    await bench.channel("Sink", enabled=False)
    plan = await bench.accept("late", "sink", expires_at=bench.clock() + timedelta(minutes=1))
    bench.clock.ahead = timedelta(minutes=2)
    await ended(bench, plan)
    with pytest.raises(ConflictError, match="not to be sent after"):
        await bench.parts.operator.resend_message(plan.message.id)


async def test_a_newer_message_collapses_what_waits(bench: Bench, author: Author) -> None:
    await bench.channel("Sink", enabled=False)
    fields = {"topic": "cpu", "collapse_key": "host-1"}
    older = [await bench.accept(f"{load} %", "sink", **fields) for load in (80, 90)]
    other = await bench.accept("other host", "sink", topic="cpu", collapse_key="host-2")
    elsewhere = await bench.accept("other topic", "sink", topic="ram", collapse_key="host-1")
    newest = await bench.accept("99 %", "sink", **fields)
    for plan in older:
        [delivery] = (await bench.story(plan)).deliveries
        assert (delivery.status, delivery.reason) == (Status.CANCELLED, "collapsed")
        assert (await bench.story(plan)).message.status == "cancelled"
    await bench.channel("Sink")
    for plan in (other, elsewhere, newest):
        assert (await bench.attempted(plan)).message.status == "sent"
    sent = {one["description"] for one in author.traces()}
    assert sent == {"other host", "other topic", "99 %"}


async def test_what_is_urgent_never_starves_what_is_not(bench: Bench, author: Author) -> None:
    await bench.channel("Sink", concurrency=1)
    later = bench.clock() + timedelta(minutes=1)
    plans = [await bench.accept("patient", "sink", priority=5, send_at=later)]
    plans += [
        await bench.accept(f"urgent {number}", "sink", priority=1, send_at=later)
        for number in range(12)
    ]
    bench.clock.ahead = timedelta(minutes=2)
    for plan in plans:
        await bench.attempted(plan)
    order = [one["description"] for one in author.traces()]
    assert len(order) == 13
    assert order.index("patient") < 8


async def test_what_was_sent_or_has_no_key_is_not_collapsed(bench: Bench) -> None:
    await bench.channel("Sink")
    sent = await bench.accept("sent", "sink", topic="cpu", collapse_key="k")
    await bench.attempted(sent)
    await bench.channel("Sink", enabled=False)
    keyless = await bench.accept("no key", "sink", topic="cpu")
    await bench.accept("newer", "sink", topic="cpu", collapse_key="k")
    assert (await bench.story(sent)).deliveries[0].status == Status.SENT
    assert (await bench.story(keyless)).deliveries[0].status == Status.PENDING


async def test_what_would_come_back_for_a_retry_is_collapsed_then(bench: Bench) -> None:
    await bench.channel("Told", retry_schedule=["1h"])
    older = await bench.accept("temporary", "told", topic="cpu", collapse_key="k")
    await bench.attempted(older)
    await bench.accept("newer", "told", topic="cpu", collapse_key="k")
    [delivery] = (await bench.story(older)).deliveries
    assert (delivery.status, delivery.reason) == (Status.CANCELLED, "collapsed")


async def test_what_is_being_sent_is_collapsed_only_if_it_fails(
    bench: Bench, author: Author
) -> None:
    if isinstance(bench.parts.queue, InlineQueue):
        pytest.skip("the inline queue sends nothing beside the test")
    await bench.channel("Told", retry_schedule=["1h"])
    older = await bench.accept("wait for the word", "told", topic="cpu", collapse_key="k")
    while not author.traces():
        await bench.story(older)
    await bench.channel("Sink")
    await bench.accept("newer", "sink", topic="cpu", collapse_key="k")
    assert (await bench.story(older)).deliveries[0].cancel_reason == "collapsed"
    author.allow("the word")
    story = await bench.attempted(older)
    assert story.deliveries[0].status == Status.SENT
