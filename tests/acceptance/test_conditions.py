"""Conditions of a topic's channels over HTTP: stored, obeyed, refused; over both databases."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serving import Client

ELSEWHERE = {"data": {"customer.country": {"in": ["PT", "ES"]}, "test": {"exists": False}}}
URGENT = {"any": [{"priority": {"at_most": 2}}, {"tags": {"any": ["urgent"]}}]}


@pytest.fixture
async def sales(client: Client) -> Client:
    """A client of a server whose topic sales has three channels, two of them choosy."""
    for name in ("pager", "abroad"):
        await client.post("/v1/channels", {"name": name, "plugin": "Log"})
    created = await client.post("/v1/topics", {"name": "sales", "channels": steps()})
    assert created.status == 201, created.text
    return client


def steps() -> list[Any]:
    return [
        {"channel": "pager", "condition": URGENT},
        {"channel": "abroad", "condition": ELSEWHERE},
        "log",
    ]


async def told(client: Client, **fields: Any) -> list[str]:
    """Send a message, and return the channels that got a delivery."""
    body = {"topic": "sales", "description": "hello", **fields}
    accepted = await client.post("/v1/messages", body)
    assert accepted.status == 202, accepted.text
    return [one["channel"] for one in accepted.body["deliveries"]]


async def test_conditions_are_given_back_as_they_were_written(sales: Client) -> None:
    shown = (await sales.get("/v1/topics/sales")).body
    assert shown["channels"] == [*steps()[:2], {"channel": "log"}]
    listed = (await sales.get("/v1/topics")).body["data"]
    assert shown in listed
    renamed = {name: shown[name] for name in ("channels", "strategy", "enabled")}
    replaced = await sales.call("PUT", "/v1/topics/copy", renamed)
    assert (replaced.status, replaced.body["channels"]) == (201, shown["channels"])


async def test_a_message_goes_to_the_channels_whose_conditions_fit(sales: Client) -> None:
    assert await told(sales) == ["log"]
    assert await told(sales, priority=1) == ["pager", "log"]
    assert await told(sales, tags=["urgent"]) == ["pager", "log"]
    assert await told(sales, data={"customer": {"country": "ES"}}) == ["abroad", "log"]
    assert await told(sales, data={"customer": {"country": "ES"}, "test": None}) == ["log"]
    assert await told(sales, data={"customer.country": "ES"}) == ["log"]


async def test_changes_keep_the_conditions_or_replace_them(sales: Client) -> None:
    changed = await sales.call("PATCH", "/v1/topics/sales", {"enabled": True})
    assert changed.body["channels"][0] == {"channel": "pager", "condition": URGENT}
    steps = [{"channel": "pager", "condition": {"priority": 5}}, {"channel": "log"}]
    changed = await sales.call("PATCH", "/v1/topics/sales", {"channels": steps})
    assert changed.body["channels"] == steps
    assert await told(sales, priority=1) == ["log"]
    assert await told(sales, priority=5) == ["pager", "log"]
    free = [{"channel": "pager", "condition": None}, "log"]
    replaced = await sales.call("PUT", "/v1/topics/sales", {"channels": free})
    assert replaced.body["channels"] == [{"channel": "pager"}, {"channel": "log"}]
    assert await told(sales, priority=1) == ["pager", "log"]


async def test_what_no_channel_takes_is_stored_and_can_be_routed_later(sales: Client) -> None:
    only = [{"channel": "log", "condition": {"priority": 1}}]
    await sales.call("PATCH", "/v1/topics/sales", {"channels": only})
    accepted = await sales.post("/v1/messages", {"topic": "sales", "description": "hello"})
    assert (accepted.status, accepted.body["status"]) == (202, "no_route")
    resend = f"/v1/messages/{accepted.body['id']}/resend"
    still = await sales.post(resend)
    assert (still.status, still.body["code"]) == (409, "no_route")
    only = [{"channel": "log", "condition": {"priority": 3}}]
    await sales.call("PATCH", "/v1/topics/sales", {"channels": only})
    assert (await sales.post(resend)).status == 202
    story = await sales.final(accepted.body["id"])
    assert story["status"] == "sent"
    events = [one["event"] for one in story["timeline"]]
    assert events[:3] == ["accepted", "no_route", "routed"]


async def test_a_channel_that_is_addressed_directly_takes_everything(sales: Client) -> None:
    assert await told(sales, channel="pager", priority=5) == ["pager"]


async def test_every_mistake_of_every_condition_is_named_by_its_path(sales: Client) -> None:
    wrong = [
        {"channel": "pager", "condition": {"priority": 9, "colour": "red"}},
        {"channel": "abroad", "condition": {}},
        {"channel": "log", "condition": {"data": {"a..b": {"equals": "x"}, "b": {"like": 1}}}},
    ]
    for method, path in (("PATCH", "/v1/topics/sales"), ("PUT", "/v1/topics/new")):
        refused = await sales.call(method, path, {"channels": wrong})
        assert (refused.status, refused.body["code"]) == (422, "invalid_input")
        assert [one["field"] for one in refused.body["errors"]] == [
            "channels.0.condition.colour",
            "channels.0.condition.priority",
            "channels.1.condition",
            "channels.2.condition.data.a..b",
            "channels.2.condition.data.b.like",
        ]
        assert {one["code"] for one in refused.body["errors"]} == {"invalid_condition"}
        assert refused.body["detail"].startswith("channels.0.condition.colour: There is no such")
    assert (await sales.get("/v1/topics/sales")).body["channels"][0]["condition"] == URGENT


async def test_no_more_than_fifty_mistakes_are_named(sales: Client) -> None:
    condition = {"tags": {"any": [0] * 100}}
    body = {"channels": [{"channel": "log", "condition": condition}]}
    refused = await sales.call("PATCH", "/v1/topics/sales", body)
    assert (refused.status, len(refused.body["errors"])) == (422, 50)
