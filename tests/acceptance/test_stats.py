"""The charts that the server keeps itself, from outside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from almenara import figures
from tests.serving import Client, make_settings, served, until
from tests.tokens import ISSUER, SECRET, bearer, token


@pytest.fixture(autouse=True)
def _nothing_of_others() -> None:
    """Other tests of this process count, too."""
    figures.take_tallies()
    figures.forget_series()


async def send(client: Client, way: dict[str, Any], **kwargs: Any) -> None:
    answer = await client.post("/v1/messages", way | {"description": "x"}, **kwargs)
    assert answer.status == 202, answer.text
    message_id = answer.body["id"]

    async def is_final() -> bool:
        story = (await client.get(f"/v1/messages/{message_id}", **kwargs)).body
        return story["status"] not in {"queued", "sending"}

    await until(is_final)


async def stats(client: Client, period: str = "hour", **kwargs: Any) -> Any:
    await client.parts.tallies.write()
    client.parts.tallies._read.clear()
    answer = await client.get(f"/v1/stats?period={period}", **kwargs)
    assert answer.status == 200, answer.text
    return answer.body


def sums(found: Any) -> tuple[dict[Any, int], dict[Any, int]]:
    accepted = {one["topic"]: sum(one["counts"]) for one in found["accepted"]}
    names = ("topic", "channel", "outcome", "reason")
    attempts = {tuple(one[name] for name in names): sum(one["counts"]) for one in found["attempts"]}
    return accepted, attempts


async def test_what_is_accepted_and_tried_is_counted_by_topic(client: Client) -> None:
    dead = {"plugin": "Webhook", "settings": {"url": "http://127.0.0.1:9/"}, "retry_schedule": []}
    assert (await client.call("PUT", "/v1/channels/dead", dead)).status == 201
    for _ in range(3):
        await send(client, {"topic": "hello"})
    await send(client, {"channel": "dead"})
    for period, step, steps in (("hour", 60, 60), ("day", 900, 96)):
        found = await stats(client, period)
        assert (found["period"], found["step_seconds"]) == (period, step)
        start, end = (datetime.fromisoformat(found[name]) for name in ("start", "end"))
        assert end - start == timedelta(seconds=step * steps)
        assert start < datetime.now(UTC)
        rows = found["accepted"] + found["attempts"]
        assert {len(one["counts"]) for one in rows} == {steps}
        assert sums(found) == (
            {"hello": 3, None: 1},
            {
                ("hello", "log", "sent", None): 3,
                (None, "dead", "temporary_error", "exhausted"): 1,
            },
        )
        assert found["pending"] == [
            {"channel": name, "count": 0, "oldest_due_seconds": 0.0} for name in ("dead", "log")
        ]
    answer = await client.get("/v1/stats?period=year")
    assert (answer.status, answer.body["errors"][0]["field"]) == (422, "period")


async def test_a_narrowed_token_is_told_of_its_topics_alone(tmp_path: Path) -> None:
    async with served(make_settings(tmp_path, jwt_issuer=ISSUER, jwt_secret=SECRET)) as client:
        everything = {"headers": bearer(token())}
        for name in ("sales.eu", "other"):
            await client.call("PUT", f"/v1/topics/{name}", {"channel": "log"}, **everything)
        for way in ({"topic": "other"}, {"channel": "log"}, {"topic": "sales.eu"}):
            await send(client, way, **everything)
        narrow = bearer(token(scope="messages:read", topics=["sales.*"]))
        found = await stats(client, headers=narrow)
        assert sums(found) == ({"sales.eu": 1}, {("sales.eu", "log", "sent", None): 1})
        # What waits for a channel is of all topics.
        assert found["pending"] == []
        assert len((await stats(client, **everything))["pending"]) == 1


async def test_the_processes_are_listed(client: Client) -> None:
    [one] = (await client.get("/v1/workers")).body["items"]
    assert (one["kind"], one["alive"]) == ("server", True)
    ready = (await client.get("/readyz")).body
    assert f"{one['pid']}@{one['host']}" == ready["process"]
    assert one["version"] == (await client.get("/openapi.json")).body["info"]["version"]
    assert datetime.fromisoformat(one["started_at"]) <= datetime.fromisoformat(one["heartbeat_at"])
