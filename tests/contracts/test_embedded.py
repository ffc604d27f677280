"""What only the embedded queue can do wrong: clocks that jump, results that cannot be recorded."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from almenara.queues import rescue
from almenara.sending import embedded_queue
from tests.contracts.test_queues import bench_of
from tests.plugins.author import Author
from tests.serving import make_settings, until


async def arrived(author: Author) -> None:
    async def look() -> bool:
        return bool(author.traces())

    await until(look)


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(days=-1)])
async def test_a_clock_that_jumps_repeats_nothing_that_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    monkeypatch.setattr(rescue, "_EVERY", 0.0)
    settings = make_settings(tmp_path)
    author = Author(settings.plugins_dir)
    async with bench_of(settings, embedded_queue) as bench:
        await bench.channel("Told", timeout_seconds=20)
        plan = await bench.accept("wait for the word", "told")
        await arrived(author)
        bench.clock.ahead = jump
        for _ in range(3):
            bench.parts.queue.ring(["told"])
            await asyncio.sleep(0.05)
        assert not any((await bench.story(plan)).attempts.values())
        author.allow("the word")
        story = await bench.attempted(plan)
    [attempt] = story.attempts[plan.deliveries[0].id]
    assert attempt.outcome == "sent"
    assert attempt.duration_ms >= 0
    assert len(author.traces()) == 1


async def test_a_result_that_can_never_be_recorded_is_logged_and_rescued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rescue, "_EVERY", 0.0)
    settings = make_settings(tmp_path)
    author = Author(settings.plugins_dir)
    async with bench_of(settings, embedded_queue) as bench:
        await bench.channel("Sink")
        record: Any = bench.parts.queue._dispatcher.record  # type: ignore[attr-defined]  # the embedded queue's

        async def fails_once(result: object, *, topic: str | None) -> None:
            monkeypatch.setattr(bench.parts.queue._dispatcher, "record", record)  # type: ignore[attr-defined]  # as above
            raise ValueError(f"no such column: {type(result).__name__}")

        monkeypatch.setattr(bench.parts.queue._dispatcher, "record", fails_once)  # type: ignore[attr-defined]  # as above
        plan = await bench.accept("hello", "sink")
        await arrived(author)
        bench.clock.ahead = timedelta(minutes=1)
        story = await bench.attempted(plan, attempts=2)
    outcomes = [one.outcome for one in story.attempts[plan.deliveries[0].id]]
    assert outcomes == ["unknown", "sent"]
    assert len(author.traces()) == 2


async def test_a_claim_that_grew_too_old_is_given_back_unsent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(tmp_path)
    author = Author(settings.plugins_dir)
    async with bench_of(settings, embedded_queue) as bench:
        await bench.channel("Sink")
        leases = bench.parts.queue._dispatcher.leases  # type: ignore[attr-defined]  # the embedded queue's
        monkeypatch.setattr(leases, "margin", 60.0)
        plan = await bench.accept("hello", "sink")

        async def given_back() -> bool:
            return "claim_given_back" in capsys.readouterr().out

        await until(given_back)
        assert author.traces() == []
        monkeypatch.setattr(leases, "margin", 5.0)
        story = await bench.attempted(plan)
    assert story.message.status == "sent"
    assert [one.number for one in story.attempts[plan.deliveries[0].id]] == [1]


async def test_what_two_processes_died_on_is_tried_with_nothing_else_in_flight(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path)
    author = Author(settings.plugins_dir)
    async with bench_of(settings, embedded_queue) as bench:
        await bench.channel("Told", timeout_seconds=20)
        suspects = [await bench.accept("wait for the word", "told") for _ in range(2)]
        beside = await bench.accept("wait for the others", "told")

        async def all_began() -> bool:
            return len(author.traces()) == 3

        await until(all_began)
        # As if two processes had died on these two while another attempt went on.
        async with bench.parts.database.transaction() as transaction:
            for plan in suspects:
                await transaction.execute(
                    "UPDATE delivery SET status = 'pending', death_count = 2, token = NULL"
                    " WHERE message_id = $1",
                    plan.message.id,
                )
        author.allow("the word")
        bench.parts.queue.ring(["told"])
        await asyncio.sleep(0.3)
        assert len(author.traces()) == 3, "one was tried beside another attempt"
        # Nothing else begins while the suspects wait for their turn.
        late = await bench.accept("quick", "told")
        assert late.deliveries[0].status == "pending"
        author.allow("the others")
        for plan in (*suspects, beside, late):
            await bench.attempted(plan)
        stories = [await bench.story(plan) for plan in suspects]
    spans = [
        (one.started_at, one.finished_at)
        for story in stories
        for one in story.attempts[story.deliveries[0].id]
        if not one.late
    ]
    (_, ended), (began, _) = sorted(spans)
    assert ended <= began, "both suspects were in flight at once"
