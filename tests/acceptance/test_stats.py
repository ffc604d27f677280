"""The charts that the server keeps itself, from outside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from almenara import figures
from tests.serving import Client


@pytest.fixture(autouse=True)
def _nothing_of_others() -> None:
    """Other tests of this process count, too."""
    figures.take_tallies()
    figures.forget_series()


async def stats(client: Client, period: str = "hour", **kwargs: Any) -> Any:
    await client.parts.tallies.write()
    client.parts.tallies._read.clear()
    answer = await client.get(f"/v1/stats?period={period}", **kwargs)
    assert answer.status == 200, answer.text
    return answer.body


async def test_what_is_accepted_and_tried_is_counted_by_topic(client: Client) -> None:
    for topic, count in (("hello", 3), ("hello", 2)):
        for _ in range(count):
            body = {"topic": topic, "description": "x"}
            await client.final((await client.post("/v1/messages", body)).body["id"])
    direct = {"channel": "log", "description": "x"}
    await client.final((await client.post("/v1/messages", direct)).body["id"])
    for period, step, steps in (("hour", 60, 60), ("day", 900, 96)):
        found = await stats(client, period)
        assert (found["period"], found["step_seconds"]) == (period, step)
        start, end = (datetime.fromisoformat(found[name]) for name in ("start", "end"))
        assert end - start == timedelta(seconds=step * steps)
        assert end - timedelta(seconds=step) <= datetime.now(UTC)
        assert all(
            len(one["counts"]) == steps for name in ("accepted", "attempts") for one in found[name]
        )
        accepted = {one["topic"]: sum(one["counts"]) for one in found["accepted"]}
        assert accepted == {"hello": 5, None: 1}
        attempts = {
            (one["topic"], one["channel"], one["outcome"], one["reason"]): sum(one["counts"])
            for one in found["attempts"]
        }
        assert attempts == {
            ("hello", "log", "sent", None): 5,
            (None, "log", "sent", None): 1,
        }
        assert {one["channel"] for one in found["pending"]} >= {"log"}


async def test_a_period_that_is_not_known_is_refused(client: Client) -> None:
    answer = await client.get("/v1/stats?period=year")
    assert (answer.status, answer.body["errors"][0]["field"]) == (422, "period")
