"""Failover as a user has it: a topic over the API, real receivers, the log afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from almenara.settings import Settings
from almenara.testing import Answer as Told
from almenara.testing import FakeService
from tests.serving import Client, until

NAMES = ("chat", "mail", "phone")


@pytest.fixture
async def receivers() -> AsyncIterator[dict[str, FakeService]]:
    async with AsyncExitStack() as stack:
        yield {name: stack.enter_context(FakeService()) for name in NAMES}


async def a_chain(client: Client, receivers: dict[str, FakeService], **topic: Any) -> None:
    """Make a failover topic ``oncall`` over three webhooks."""
    for name, receiver in receivers.items():
        body = {
            "name": name,
            "plugin": "Webhook",
            "settings": {"url": receiver.url},
            "retry_schedule": ["1h"],
        }
        assert (await client.post("/v1/channels", body)).status == 201
    body = {"name": "oncall", "channels": list(NAMES), "strategy": "failover"} | topic
    made = await client.post("/v1/topics", body)
    assert made.status == 201, made.text
    assert made.body["strategy"] == "failover"


async def send(client: Client, **fields: Any) -> str:
    answer = await client.post("/v1/messages", {"topic": "oncall", "description": "Fire"} | fields)
    assert answer.status == 202, answer.text
    return str(answer.body["id"])


def ends(story: Any) -> list[tuple[str, str, str | None]]:
    return [(one["channel"], one["status"], one["reason"]) for one in story["deliveries"]]


async def test_only_the_first_is_used_while_it_sends(
    client: Client, receivers: dict[str, FakeService]
) -> None:
    await a_chain(client, receivers)
    story = await client.final(await send(client))
    assert story["status"] == "sent"
    assert ends(story) == [
        ("chat", "sent", None),
        ("mail", "cancelled", "not_needed"),
        ("phone", "cancelled", "not_needed"),
    ]
    assert [len(one.received) for one in receivers.values()] == [1, 0, 0]


async def test_the_next_one_is_used_when_the_one_before_failed(
    client: Client, receivers: dict[str, FakeService]
) -> None:
    receivers["chat"].answer = Told(400)
    receivers["mail"].answer = Told(404)
    await a_chain(client, receivers)
    story = await client.final(await send(client))
    assert story["status"] == "sent"
    assert ends(story) == [
        ("chat", "failed", "permanent"),
        ("mail", "failed", "permanent"),
        ("phone", "sent", None),
    ]
    assert [len(one.received) for one in receivers.values()] == [1, 1, 1]


async def test_the_next_one_is_used_when_the_deadline_has_passed(
    client: Client, receivers: dict[str, FakeService]
) -> None:
    receivers["chat"].answer = Told(503)
    await a_chain(client, receivers, step_deadline_seconds=5)
    story = await client.final(await send(client))
    assert ends(story) == [
        ("chat", "cancelled", "superseded"),
        ("mail", "sent", None),
        ("phone", "cancelled", "not_needed"),
    ]
    assert [one["outcome"] for one in story["deliveries"][0]["attempts"]] == ["temporary_error"]


async def test_a_chain_that_failed_is_sent_again_as_a_chain(
    client: Client, receivers: dict[str, FakeService]
) -> None:
    for receiver in receivers.values():
        receiver.answer = Told(400)
    await a_chain(client, receivers)
    message_id = await send(client)
    assert (await client.final(message_id))["status"] == "failed"
    receivers["mail"].answer = Told(200)
    assert (await client.post(f"/v1/messages/{message_id}/resend")).status == 202
    story = await client.final(message_id)
    assert story["status"] == "sent"
    new = [one for one in story["deliveries"] if one["resend_of"]]
    assert ends({"deliveries": new}) == [
        ("chat", "failed", "permanent"),
        ("mail", "sent", None),
        ("phone", "cancelled", "not_needed"),
    ]
    refused = await client.post(f"/v1/messages/{message_id}/resend")
    assert (refused.status, refused.body["code"]) == (409, "nothing_to_resend")


async def test_one_delivery_of_a_chain_is_sent_again_by_itself(
    client: Client, receivers: dict[str, FakeService]
) -> None:
    await a_chain(client, receivers)
    story = await client.final(await send(client))
    unused = story["deliveries"][2]
    again = await client.post(f"/v1/deliveries/{unused['id']}/resend")
    assert again.status == 202
    story = await client.final(story["id"])
    assert story["status"] == "sent"
    assert [len(one.received) for one in receivers.values()] == [1, 0, 1]


async def test_a_message_without_a_route_becomes_a_chain_when_it_is_sent_again(
    client: Client, receivers: dict[str, FakeService]
) -> None:
    await a_chain(client, receivers, enabled=False)
    message_id = await send(client)
    await client.call("PATCH", "/v1/topics/oncall", {"enabled": True})
    assert (await client.post(f"/v1/messages/{message_id}/resend")).status == 202
    story = await client.final(message_id)
    assert [one["status"] for one in story["deliveries"]] == ["sent", "cancelled", "cancelled"]


@pytest.mark.parametrize("seconds", [0, -1, 4, 86_401, "5m", None])
async def test_a_step_deadline_that_is_none_is_refused(client: Client, seconds: object) -> None:
    body = {"name": "oncall", "channels": [], "step_deadline_seconds": seconds}
    refused = await client.post("/v1/topics", body)
    assert refused.status == 422
    assert refused.body["errors"][0]["field"] == "step_deadline_seconds"


async def test_a_strategy_that_there_is_not_is_refused(client: Client) -> None:
    refused = await client.post("/v1/topics", {"name": "x", "channels": [], "strategy": "random"})
    assert refused.status == 422
    assert "'all' or 'failover'" in refused.body["errors"][0]["message"]


async def test_strategy_and_deadline_are_changed_and_kept(
    client: Client, receivers: dict[str, FakeService], settings: Settings
) -> None:
    await a_chain(client, receivers, step_deadline_seconds=60)
    changed = await client.call("PATCH", "/v1/topics/oncall", {"enabled": True})
    assert (changed.body["strategy"], changed.body["step_deadline_seconds"]) == ("failover", 60)
    changed = await client.call("PATCH", "/v1/topics/oncall", {"strategy": "all"})
    assert changed.body["strategy"] == "all"

    async def all_three() -> bool:
        return all(one.received for one in receivers.values())

    await send(client)
    await until(all_three)
