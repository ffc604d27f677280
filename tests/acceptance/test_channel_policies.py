"""Rates, pauses and resumption as people ask for them, over HTTP and both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from almenara.settings import Settings
from almenara.testing import FakeService
from tests.databases import emptied
from tests.plugins.author import Author
from tests.processes import ServerProcess
from tests.serving import Client, served, until


@pytest.fixture
def author(settings: Settings) -> Author:
    return Author(settings.plugins_dir)


@pytest.fixture
async def client(settings: Settings, author: Author) -> AsyncIterator[Client]:
    async with served(settings) as one:
        yield one


async def channel(client: Client, name: str, plugin: str = "Sink", **fields: Any) -> Any:
    created = await client.post("/v1/channels", {"name": name, "plugin": plugin, **fields})
    assert created.status == 201, created.text
    return created.body


async def tell(client: Client, name: str, description: str = "hello") -> Any:
    accepted = await client.post("/v1/messages", {"channel": name, "description": description})
    assert accepted.status == 202, accepted.text
    return accepted.body


async def settled(client: Client) -> None:
    """Let the queue look at everything that is due, some of it on another channel."""
    for _ in range(3):
        await client.final((await tell(client, "log"))["id"])


async def test_the_policies_are_shown_as_they_were_written(client: Client) -> None:
    written: dict[str, Any] = {
        "rate": " 30 / M ",
        "burst": 5,
        "breaker_failures": 0,
        "breaker_wait": "2m",
    }
    created = await channel(client, "out", **written)
    assert created | written | {"rate": "30/m"} == created
    changed = await client.call("PATCH", "/v1/channels/out", {"rate": None, "burst": None})
    assert (changed.body["rate"], changed.body["burst"]) == (None, None)
    assert changed.body["breaker_wait"] == "2m"


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("rate", "10/x", "10/s, 30/m or 500/h"),
        ("rate", "0/s", "from 1 to 10000"),
        ("rate", "-1/m", "from 1 to 10000"),
        ("rate", "1.5/s", "10/s, 30/m or 500/h"),
        ("rate", "99999/s", "from 1 to 10000"),
        ("rate", "", "10/s, 30/m or 500/h"),
        ("rate", "1" * 17, "at most 16 characters"),
        ("rate", 10, "string"),
        ("burst", 0, "greater than or equal to 1"),
        ("burst", -3, "greater than or equal to 1"),
        ("burst", 10_001, "less than or equal to 10000"),
        ("burst", 1.5, "integer"),
        ("breaker_failures", -1, "greater than or equal to 0"),
        ("breaker_failures", 1_001, "less than or equal to 1000"),
        ("breaker_failures", None, "integer"),
        ("breaker_wait", "0s", "at least 1s"),
        ("breaker_wait", "8d", "7d"),
        ("breaker_wait", "soon", "10s, 5m, 2h or 1d"),
        ("breaker_wait", 30, "string"),
    ],
)
async def test_a_policy_that_cannot_be_is_refused_and_says_what_is_allowed(
    client: Client, field: str, value: object, allowed: str
) -> None:
    body = {"name": "out", "plugin": "Sink", field: value}
    refused = await client.post("/v1/channels", body)
    assert refused.status == 422
    [error] = refused.body["errors"]
    assert error["field"] == field
    assert allowed in error["message"]
    assert (await client.get("/v1/channels/out")).status == 404


async def test_a_rate_holds_and_what_is_above_it_waits_in_nobodys_way(
    client: Client, author: Author
) -> None:
    await channel(client, "out", rate="3/h", burst=3)
    for _ in range(8):
        assert (await tell(client, "out"))["status"] == "queued"

    async def three() -> bool:
        return len(author.traces()) == 3

    await until(three)
    await settled(client)
    assert len(author.traces()) == 3
    await client.call("PATCH", "/v1/channels/out", {"rate": "1000/s"})

    async def all_of_them() -> bool:
        return len(author.traces()) == 8

    await until(all_of_them)


async def test_a_rate_of_many_a_second_is_used_without_being_rung_again(
    client: Client, author: Author
) -> None:
    await channel(client, "out", rate="20/s")
    ids = [(await tell(client, "out"))["id"] for _ in range(10)]
    for one in ids:
        assert (await client.final(one))["status"] == "sent"


async def test_a_channel_is_paused_and_resumed_and_loses_nothing(
    client: Client, author: Author
) -> None:
    await channel(client, "out")
    paused = await client.post("/v1/channels/OUT/pause", {"reason": "Slack is being moved."})
    assert paused.status == 200
    assert (paused.body["state"], paused.body["state_reason"]) == ("paused", "operator")
    assert paused.body["state_detail"] == "Slack is being moved."
    assert paused.body["state_changed_at"] is not None
    assert paused.body["probe_at"] is None
    assert (await client.get("/v1/channels/out")).body == paused.body
    listed = (await client.get("/v1/channels")).body["data"]
    assert [one["state"] for one in listed] == ["active", "paused"]
    accepted = [await tell(client, "out") for _ in range(3)]
    assert {one["deliveries"][0]["status"] for one in accepted} == {"pending"}
    await settled(client)
    assert author.traces() == []
    resumed = await client.post("/v1/channels/out/resume")
    assert (resumed.status, resumed.body["state"]) == (200, "active")
    assert (resumed.body["state_reason"], resumed.body["state_detail"]) == (None, None)
    for one in accepted:
        assert (await client.final(one["id"]))["status"] == "sent"
    assert len(author.traces()) == 3


async def test_what_is_paused_or_resumed_already_is_a_conflict(client: Client) -> None:
    await channel(client, "out")
    refused = await client.post("/v1/channels/out/resume")
    assert (refused.status, refused.body["code"]) == (409, "channel_not_paused")
    assert refused.body["detail"] == "The channel 'out' is not paused."
    assert (await client.post("/v1/channels/out/pause")).status == 200
    refused = await client.post("/v1/channels/out/pause", {})
    assert (refused.status, refused.body["code"]) == (409, "channel_paused")
    assert refused.body["detail"] == "The channel 'out' is paused already."
    tested = await client.post("/v1/channels/out/test")
    assert (tested.status, tested.body["code"]) == (409, "channel_paused")
    for verb in ("pause", "resume"):
        assert (await client.post(f"/v1/channels/nowhere/{verb}")).status == 404


@pytest.mark.parametrize("body", [{"reason": ""}, {"reason": "x" * 501}, {"why": "x"}, [], "x"])
async def test_a_pause_for_a_reason_that_cannot_be_is_refused(client: Client, body: object) -> None:
    await channel(client, "out")
    refused = await client.post("/v1/channels/out/pause", body)
    assert (refused.status, refused.body["code"]) == (422, "invalid_input")
    assert (await client.get("/v1/channels/out")).body["state"] == "active"


async def test_a_change_of_settings_leaves_a_channel_paused_by_people(client: Client) -> None:
    await channel(client, "out", "Told")
    await client.post("/v1/channels/out/pause")
    changed = await client.call("PATCH", "/v1/channels/out", {"settings": {"token": "new"}})
    assert changed.body["state"] == "paused"


async def test_a_channel_that_is_made_again_under_its_name_is_not_paused(client: Client) -> None:
    await channel(client, "out")
    await client.post("/v1/channels/out/pause")
    assert (await client.call("DELETE", "/v1/channels/out?force=true")).status == 204
    assert await client.parts.database.fetch("SELECT * FROM channel_state") == []
    assert (await channel(client, "out"))["state"] == "active"


@pytest.mark.postgres
@pytest.mark.timeout(120)
@pytest.mark.unmeasured
async def test_a_pause_and_a_rate_hold_in_a_second_process_at_once(
    tmp_path: Path, postgres_url: str
) -> None:
    await asyncio.to_thread(emptied, postgres_url)
    with FakeService() as receiver:
        async with aiohttp.ClientSession() as session:
            with ServerProcess(tmp_path, database_url=postgres_url) as first:
                one = Client(session, first.url)
                hook = {"plugin": "Webhook", "settings": {"url": receiver.url}}
                for name, rate in (("hook", None), ("slow", "4/h"), ("witness", None)):
                    created = await one.post(
                        "/v1/channels",
                        {"name": name, "rate": rate, "burst": rate and 4} | hook,
                    )
                    assert created.status == 201, created.text
                with ServerProcess(tmp_path, database_url=postgres_url) as second:
                    await hold_in_both(one, Client(session, second.url), receiver)


async def hold_in_both(one: Client, two: Client, receiver: FakeService) -> None:
    async def looked() -> None:
        for each in (one, two, one, two):
            await each.final((await tell(each, "witness"))["id"])

    def arrived(name: str) -> int:
        return sum(each.json()["channel"] == name for each in receiver.received)

    await looked()
    assert (await one.post("/v1/channels/hook/pause")).status == 200
    accepted = [await tell(each, "hook") for each in (two, one, two)]
    assert (await two.get("/v1/channels/hook")).body["state"] == "paused"
    await looked()
    assert arrived("hook") == 0
    assert (await two.post("/v1/channels/hook/resume")).status == 200
    for message in accepted:
        assert (await one.final(message["id"]))["status"] == "sent"
    await asyncio.gather(*(tell(each, "slow") for each in (one, two) for _ in range(10)))

    async def four() -> bool:
        return arrived("slow") >= 4

    await until(four)
    await looked()
    assert arrived("slow") == 4
