"""System topics: the router tells its own news by its own means, once, and never in a loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from almenara.settings import Settings
from almenara.testing import Answer as Told
from almenara.testing import FakeService
from tests.serving import Client, make_settings, served, until

FAILED = "almenara.delivery-failed"


@pytest.fixture
async def ops() -> AsyncIterator[FakeService]:
    with FakeService() as one:
        yield one


async def a_webhook(client: Client, name: str, receiver: FakeService, **fields: Any) -> None:
    body = {"name": name, "plugin": "Webhook", "settings": {"url": receiver.url}} | fields
    made = await client.post("/v1/channels", body)
    assert made.status == 201, made.text


async def a_topic(client: Client, name: str, *channels: str) -> None:
    made = await client.post("/v1/topics", {"name": name, "channels": list(channels)})
    assert made.status == 201, made.text


async def news_on(client: Client, topic: str, count: int = 1) -> list[Any]:
    """Wait until so many messages of a system topic are sent."""

    async def look() -> list[Any] | None:
        page = await client.get(f"/v1/messages?topic={topic}&status=sent")
        return page.body["data"] if len(page.body["data"]) >= count else None

    found = await until(look)
    assert len(found) == count
    return list(found)


async def test_a_failed_delivery_is_told_on_its_topic(client: Client, ops: FakeService) -> None:
    with FakeService() as shop:
        shop.answer = Told(400)
        await a_webhook(client, "shop", shop)
        await a_webhook(client, "ops", ops)
        await a_topic(client, "sales", "shop")
        await a_topic(client, FAILED, "ops")
        sent = await client.post(
            "/v1/messages", {"topic": "sales", "description": "Hi", "reference": "order 17"}
        )
        story = await client.final(sent.body["id"])
    [news] = await news_on(client, FAILED)
    [delivery] = story["deliveries"]
    assert news["data"] == {
        "message_id": story["id"],
        "delivery_id": delivery["id"],
        "topic": "sales",
        "reference": "order 17",
        "channel": "shop",
        "status": "failed",
        "reason": "permanent",
        "attempt_count": 1,
        "error": delivery["attempts"][0]["error"],
    }
    assert "sales through shop failed (permanent) after 1 attempt" in news["description"]
    [callback] = ops.received
    assert callback.json()["data"]["delivery_id"] == delivery["id"]
    assert "webhook-id" in callback.headers


async def test_news_of_a_message_to_be_redacted_quote_nothing(
    client: Client, ops: FakeService
) -> None:
    with FakeService() as shop:
        shop.answer = Told(400)
        await a_webhook(client, "shop", shop)
        await a_webhook(client, "ops", ops)
        body = {"channels": ["shop"], "redact": True}
        assert (await client.call("PUT", "/v1/topics/sales", body)).status == 201
        await a_topic(client, FAILED, "ops")
        sent = await client.post("/v1/messages", {"topic": "sales", "description": "Hi"})
        await client.final(sent.body["id"])
    [news] = await news_on(client, FAILED)
    assert (news["data"]["message_id"], news["data"]["error"]) == (sent.body["id"], None)
    told = news["description"].replace(sent.body["id"], "")
    assert "400" not in told


async def test_without_the_topic_nothing_is_told(client: Client, ops: FakeService) -> None:
    ops.answer = Told(400)
    await a_webhook(client, "shop", ops)
    sent = await client.post("/v1/messages", {"channel": "shop", "description": "Hi"})
    await client.final(sent.body["id"])
    assert len((await client.get("/v1/messages")).body["data"]) == 1


async def test_news_that_cannot_be_delivered_are_no_news(client: Client, ops: FakeService) -> None:
    ops.answer = Told(400)
    await a_webhook(client, "ops", ops)
    await a_topic(client, FAILED, "ops")
    sent = await client.post("/v1/messages", {"channel": "ops", "description": "Hi"})
    await client.final(sent.body["id"])

    async def told() -> Any:
        page = await client.get(f"/v1/messages?topic={FAILED}&status=failed")
        return page.body["data"]

    assert len(await until(told)) == 1
    # What would come of it comes with the next scan.
    witness = await client.post("/v1/messages", {"topic": "hello", "description": "witness"})
    await client.final(witness.body["id"])
    assert len(await told()) == 1
    assert len((await client.get("/v1/messages")).body["data"]) == 3


async def test_what_is_held_and_what_expired_is_told_too(
    client: Client, ops: FakeService, settings: Settings
) -> None:
    with FakeService() as slow:
        slow.answer = Told(delay=3)
        await a_webhook(client, "slow", slow, timeout_seconds=1, on_unknown="hold")
        await a_webhook(client, "ops", ops)
        await a_topic(client, FAILED, "ops")
        await client.post("/v1/messages", {"channel": "slow", "description": "Hi"})
        [held] = await news_on(client, FAILED)
    assert (held["data"]["status"], held["data"]["reason"]) == ("held", "unknown_outcome")
    assert "waits for an operator" in held["description"]


async def test_a_broken_plugin_is_told_once_for_as_long_as_it_stays_broken(
    tmp_path: Path, ops: FakeService
) -> None:
    settings = make_settings(tmp_path)
    broken = settings.plugins_dir / "fax" / "fax.py"
    broken.parent.mkdir(parents=True)
    broken.write_text("import no_such_module\n")
    async with served(settings) as client:
        await a_webhook(client, "ops", ops)
        await a_topic(client, "almenara.plugin-broken", "ops")
    for _ in range(2):
        async with served(settings) as client:
            [news] = await news_on(client, "almenara.plugin-broken")
    assert news["data"]["directory"] == "fax"
    assert "no_such_module" in news["description"]
    broken.write_text("import another_module\n")
    async with served(settings) as client:
        await news_on(client, "almenara.plugin-broken", 2)


async def test_other_names_of_the_kind_are_refused(client: Client) -> None:
    refused = await client.post("/v1/topics", {"name": "almenara.delivery-faild", "channels": []})
    assert refused.status == 422
    assert refused.body["errors"][0]["code"] == "reserved_name"
    assert FAILED in refused.body["errors"][0]["message"]
