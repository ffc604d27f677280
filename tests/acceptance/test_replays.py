"""Replays over HTTP: a channel that failed and is repaired gets once more what it missed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from almenara.testing import Answer, FakeService
from tests.serving import Client, until


@pytest.fixture
async def receiver() -> AsyncIterator[FakeService]:
    with FakeService() as one:
        one.answer = Answer(404)
        yield one


@pytest.fixture(autouse=True)
async def _set_up(client: Client, receiver: FakeService) -> None:
    settings = {"url": receiver.url}
    for name in ("team", "other"):
        created = await client.post(
            "/v1/channels", {"name": name, "plugin": "Webhook", "settings": settings}
        )
        assert created.status == 201, created.text
    await client.post("/v1/topics", {"name": "sales", "channels": ["team"]})
    await client.post("/v1/topics", {"name": "pricing", "channels": ["other", "log"]})


async def failed(client: Client, number: int, topic: str = "sales") -> list[Any]:
    """Hand messages in, and wait until each has failed."""
    accepted = [
        (await client.post("/v1/messages", {"topic": topic, "description": f"{topic} {one}"})).body
        for one in range(number)
    ]
    return [await client.final(one["id"]) for one in accepted]


async def ended(client: Client, replay: Any, status: str = "done") -> Any:
    """Wait until a replay has ended and nothing that it made waits."""

    async def look() -> Any:
        one = (await client.get(f"/v1/replays/{replay['id']}")).body
        waiting = one["deliveries"]["pending"] + one["deliveries"]["sending"]
        return one if one["status"] == status and not waiting else None

    return await until(look)


async def test_a_channel_that_is_repaired_gets_once_more_what_failed(
    client: Client, receiver: FakeService
) -> None:
    stories = await failed(client, 12)
    [elsewhere] = await failed(client, 1, "pricing")
    receiver.answer = Answer(200)
    receiver.received.clear()

    dry = await client.post("/v1/replays", {"channel": "Team", "dry_run": True})
    assert (dry.status, dry.body["count"], dry.body["count_is_capped"]) == (200, 12, False)
    assert [one["message_id"] for one in dry.body["sample"]] == [one["id"] for one in stories[:10]]
    assert dry.body["sample"][0] == {
        name: value for name, value in stories[0]["deliveries"][0].items() if name != "attempts"
    }
    assert (await client.get("/v1/replays")).body == {"data": [], "next_cursor": None}

    begun = await client.post("/v1/replays", {"channel": "Team", "rate": "1000/s"})
    assert begun.status == 202, begun.text
    assert begun.headers["Location"] == f"/v1/replays/{begun.body['id']}"
    assert begun.body["filters"] == dict.fromkeys(
        ("topic", "status", "reason", "since", "until")
    ) | {"channel": "team"}
    replay = await ended(client, begun.body)
    assert (replay["total_count"], replay["resent_count"], replay["skipped_count"]) == (12, 12, 0)
    assert replay["deliveries"] == {
        **dict.fromkeys(("pending", "sending", "failed", "held", "cancelled"), 0),
        "sent": 12,
    }
    assert replay["finished_at"] is not None

    made = (await client.get(f"/v1/deliveries?replay={replay['id']}")).body["data"]
    assert {one["replay_id"] for one in made} == {replay["id"]}
    arrived = Counter(one.headers["webhook-id"] for one in receiver.received)
    assert arrived == Counter(one["id"] for one in made)
    for story in stories:
        now = (await client.get(f"/v1/messages/{story['id']}")).body
        old, new = now["deliveries"]
        assert old == story["deliveries"][0]
        assert (now["status"], new["status"], new["resend_of"]) == ("sent", "sent", old["id"])
    assert (await client.get(f"/v1/messages/{elsewhere['id']}")).body == elsewhere

    again = await client.post("/v1/replays", {"channel": "team"})
    assert (again.status, again.body["code"]) == (422, "nothing_to_replay")


async def test_filters_narrow_what_is_sent_again(client: Client) -> None:
    [first] = await failed(client, 1)
    middle = datetime.now(UTC)
    await asyncio.sleep(0.01)
    [second] = await failed(client, 1)
    [other] = await failed(client, 1, "pricing")
    hour = timedelta(hours=1)

    async def found(**filters: Any) -> list[str]:
        answer = await client.post("/v1/replays", filters | {"dry_run": True})
        assert answer.status in {200, 422}, answer.text
        return [one["message_id"] for one in answer.body.get("sample", [])]

    first, second, other = (one["id"] for one in (first, second, other))
    assert await found(reason="permanent") == [first, second, other]
    assert await found(topic="SALES") == [first, second]
    assert await found(topic="pricing", channel="other") == [other]
    assert await found(topic="pricing", channel="team") == []
    assert await found(topic="pricing", status="sent") == [other]
    assert await found(since=middle.isoformat()) == [second, other]
    assert await found(since=(middle - hour).isoformat(), until=middle.isoformat()) == [first]
    assert await found(channel="team", status="cancelled") == []
    assert await found(channel="team", reason="operator") == []


async def test_what_something_else_was_sent_in_place_of_is_replayed_only_by_its_reason(
    client: Client,
) -> None:
    body = {"topic": "sales", "description": "x", "collapse_key": "k"}
    late = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    old = (await client.post("/v1/messages", body | {"send_at": late})).body
    await client.final((await client.post("/v1/messages", body)).body["id"])
    stopped = (await client.post("/v1/messages", body | {"send_at": late})).body
    await client.post(f"/v1/messages/{stopped['id']}/cancel")

    async def found(**filters: Any) -> list[str]:
        answer = await client.post("/v1/replays", filters | {"topic": "sales", "dry_run": True})
        return [one["message_id"] for one in answer.body["sample"]]

    assert old["id"] not in await found()
    assert await found(status="cancelled") == [stopped["id"]]
    assert await found(reason="collapsed") == [old["id"]]


async def test_a_replay_is_cancelled_and_what_it_made_stays(
    client: Client, receiver: FakeService
) -> None:
    await failed(client, 5)
    receiver.answer = Answer(200)
    begun = (await client.post("/v1/replays", {"topic": "sales", "rate": "1/m"})).body

    async def look() -> bool:
        one = (await client.get(f"/v1/replays/{begun['id']}")).body
        return bool(one["resent_count"])

    await until(look)
    cancelled = await client.call("DELETE", f"/v1/replays/{begun['id']}")
    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
    replay = await ended(client, begun, "cancelled")
    assert (replay["resent_count"], replay["deliveries"]["sent"]) == (1, 1)
    again = await client.call("DELETE", f"/v1/replays/{begun['id']}")
    assert (again.status, again.body["code"]) == (409, "replay_ended")
    assert "is cancelled" in again.body["detail"]
    # What is left is found by the next one.
    assert (await client.post("/v1/replays", {"topic": "sales"})).body["total_count"] == 4


async def test_replays_are_listed_newest_first_in_pages(client: Client) -> None:
    made = []
    for _ in range(3):
        await failed(client, 1)
        begun = await client.post("/v1/replays", {"topic": "sales"})
        made.append((await ended(client, begun.body))["id"])
    first = (await client.get("/v1/replays?limit=2")).body
    assert [one["id"] for one in first["data"]] == [made[2], made[1]]
    assert "deliveries" not in first["data"][0]
    last = (await client.get(f"/v1/replays?limit=2&cursor={first['next_cursor']}")).body
    assert ([one["id"] for one in last["data"]], last["next_cursor"]) == ([made[0]], None)


@pytest.mark.parametrize("identifier", ["nonsense", "019aa2f0-7c30-7000-9d0c-3f1d2b7a6e88"])
async def test_a_replay_that_there_is_not_is_not_found(client: Client, identifier: str) -> None:
    for method in ("GET", "DELETE"):
        answer = await client.call(method, f"/v1/replays/{identifier}")
        assert (answer.status, answer.body["code"]) == (404, "not_found")
        assert answer.body["detail"] == f"There is no replay {identifier!r}."


REFUSED: list[tuple[dict[str, Any], str, str, str]] = [
    ({}, "", "filter_missing", "Name a channel"),
    ({"status": "sent"}, "", "filter_missing", "Name a channel"),
    ({"until": "2026-01-01T00:00:00Z"}, "", "filter_missing", "Name a channel"),
    ({"channel": "taem"}, "channel", "channel_not_found", "Did you mean team?"),
    ({"topic": "sale"}, "topic", "topic_not_found", "Did you mean sales?"),
    ({"channel": ""}, "channel", "string_too_short", ""),
    ({"channel": "a\0"}, "channel", "value_not_allowed", "NUL"),
    ({"topic": 7}, "topic", "string_type", ""),
    ({"topic": "sales", "status": "pending"}, "status", "literal_error", "'failed'"),
    ({"reason": "bored"}, "reason", "enum", "'permanent'"),
    ({"reason": "poison"}, "reason", "not_final", "release or cancel it"),
    ({"reason": "unknown_outcome"}, "reason", "not_final", "is held"),
    ({"reason": "operator", "status": "failed"}, "status", "contradiction", "is cancelled"),
    ({"reason": "permanent", "status": "sent"}, "status", "contradiction", "is failed"),
    ({"since": 7}, "since", "value_error", "with its zone"),
    ({"since": "yesterday"}, "since", "value_error", "with its zone"),
    ({"since": "0001-01-01T00:00:00+14:00"}, "since", "value_error", "in UTC"),
    ({"since": "2026-01-01T00:00:00"}, "since", "timezone_aware", ""),
    (
        {"since": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z"},
        "until",
        "contradiction",
        "after since",
    ),
    ({"topic": "sales", "rate": "fast"}, "rate", "rate_invalid", "10/s, 30/m or 500/h"),
    ({"topic": "sales", "rate": "0/s"}, "rate", "rate_invalid", "10/s"),
    ({"topic": "sales", "rate": "1/d"}, "rate", "rate_invalid", "10/s"),
    ({"topic": "sales", "rate": 10}, "rate", "string_type", ""),
    ({"topic": "sales", "dry_run": "yes"}, "dry_run", "bool_type", ""),
    ({"topic": "sales", "chanel": "team"}, "chanel", "extra_forbidden", "no field"),
]


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_replay_that_cannot_be_meant_is_refused_with_what_is_allowed(
    client: Client, dry_run: bool
) -> None:
    for body, field, code, said in REFUSED:
        answer = await client.post("/v1/replays", {"dry_run": dry_run} | body)
        assert answer.status == 422, (body, answer.text)
        [error] = answer.body["errors"]
        assert (error["field"], error["code"]) == (field, code), body
        assert said in error["message"], (body, error)
    assert (await client.get("/v1/replays")).body["data"] == []


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_replay_that_matches_nothing_says_what_was_looked_for(
    client: Client, dry_run: bool
) -> None:
    body = {"channel": "TEAM", "topic": "Sales", "reason": "exhausted", "dry_run": dry_run}
    span = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00+01:00"}
    answer = await client.post("/v1/replays", body | span)
    assert (answer.status, answer.body["code"]) == (422, "nothing_to_replay")
    assert answer.body["detail"] == (
        "There is nothing to replay: no failed delivery through the channel 'team' of the topic "
        "'sales' with the reason exhausted since 2026-01-01T00:00:00+00:00 until "
        "2026-01-01T23:00:00+00:00 that was not sent again already."
    )
    answer = await client.post("/v1/replays", {"topic": "hello"})
    assert "no failed or cancelled delivery of the topic 'hello'" in answer.body["detail"]
    assert (await client.get("/v1/replays")).body["data"] == []
