"""The time line of real messages, over HTTP and both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from almenara.settings import Settings
from tests.plugins.author import Author
from tests.serving import Client, served, until


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    """A client of a server with a plugin that does what the message says."""
    Author(settings.plugins_dir)
    async with served(settings) as one:
        fields = {"plugin": "Told", "retry_schedule": ["1h"], "timeout_seconds": 1}
        await one.post("/v1/channels", {"name": "told", **fields})
        await one.post("/v1/channels", {"name": "careful", "on_unknown": "hold", **fields})
        chain = {"channels": ["told", "log"], "strategy": "failover"}
        await one.call("PUT", "/v1/topics/chain", chain)
        yield one


async def tell(client: Client, description: str, **address: str) -> str:
    accepted = await client.post("/v1/messages", {"description": description, **address})
    assert accepted.status == 202, accepted.text
    return str(accepted.body["id"])


async def seen(client: Client, message_id: str, event: str) -> list[dict[str, Any]]:
    """Wait until an event stands in a time line, and return the whole."""

    async def look() -> Any:
        timeline = (await client.get(f"/v1/messages/{message_id}")).body["timeline"]
        return timeline if event in events(timeline) else None

    timeline: list[dict[str, Any]] = await until(look)
    assert timeline == sorted(timeline, key=lambda one: str(one["at"]))
    return timeline


def events(timeline: list[dict[str, Any]]) -> list[str]:
    return [one["event"] for one in timeline]


async def test_from_a_failure_over_its_cancellation_to_its_resending(client: Client) -> None:
    message_id = await tell(client, "temporary", channel="told")
    timeline = await seen(client, message_id, "waiting")
    assert events(timeline) == ["accepted", "attempt_began", "attempt_failed", "waiting"]
    [delivery] = (await client.get(f"/v1/messages/{message_id}")).body["deliveries"]
    failed = timeline[2]
    assert (failed["delivery_id"], failed["channel"]) == (delivery["id"], "told")
    assert failed["attempt_number"] == 1
    assert failed["text"].endswith(": Try later.")
    assert timeline[3]["text"].startswith("Waits for attempt 2, due at ")
    await client.post(f"/v1/messages/{message_id}/cancel")
    timeline = await seen(client, message_id, "finished")
    assert events(timeline)[3:] == ["cancelled", "finished"]
    await client.call("PATCH", "/v1/channels/told", {"plugin": "Log"})
    await client.post(f"/v1/messages/{message_id}/resend")
    timeline = await seen(client, message_id, "sent")
    assert events(timeline)[3:] == ["cancelled", "resent", "attempt_began", "sent", "finished"]
    assert f"in the place of {delivery['id']}, which was cancelled" in timeline[4]["text"]


async def test_what_is_held_and_released(client: Client) -> None:
    message_id = await tell(client, "hang", channel="careful")
    timeline = await seen(client, message_id, "held")
    assert events(timeline) == ["accepted", "attempt_began", "attempt_failed", "held"]
    assert "deadline of 1 s" in timeline[2]["text"]
    [delivery] = (await client.get(f"/v1/messages/{message_id}")).body["deliveries"]
    await client.post(f"/v1/deliveries/{delivery['id']}/cancel")
    assert events(await seen(client, message_id, "finished"))[-2:] == ["cancelled", "finished"]


async def test_a_chain_that_moves_on_says_why(client: Client) -> None:
    message_id = await tell(client, "permanent", topic="chain")
    timeline = await seen(client, message_id, "finished")
    assert timeline[0]["text"] == "Accepted on the topic chain, for told, then log."
    assert events(timeline) == [
        *("accepted", "attempt_began", "attempt_failed", "failed", "chain_moved"),
        *("attempt_began", "sent", "finished"),
    ]
    assert timeline[4]["text"] == "told has failed, so log has its turn."
    assert timeline[-1]["text"] == "Finished: sent by log, not by told."


async def test_a_chain_whose_first_channel_sends_needs_no_other(client: Client) -> None:
    message_id = await tell(client, "fine", topic="chain")
    timeline = await seen(client, message_id, "finished")
    assert events(timeline)[-3:] == ["sent", "cancelled", "finished"]
    assert timeline[-2]["text"] == "Cancelled: another channel sent the message."
