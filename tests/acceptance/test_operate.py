"""The operator's hand on the log: cancel, release, resend, test; over both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from almenara.settings import Settings
from tests.plugins.author import Author
from tests.serving import Client, served, until


@pytest.fixture
def author(settings: Settings) -> Author:
    return Author(settings.plugins_dir)


@pytest.fixture
async def client(settings: Settings, author: Author) -> AsyncIterator[Client]:
    async with served(settings) as one:
        fields = {"plugin": "Told", "retry_schedule": ["1h"], "timeout_seconds": 1}
        await one.post("/v1/channels", {"name": "told", **fields})
        await one.post("/v1/channels", {"name": "careful", "on_unknown": "hold", **fields})
        await one.post("/v1/topics", {"name": "both", "channels": ["told", "log"]})
        yield one


async def tell(client: Client, description: str, **address: str) -> Any:
    address = address or {"channel": "told"}
    accepted = await client.post("/v1/messages", {"description": description, **address})
    assert accepted.status == 202, accepted.text
    return accepted.body


async def shown(client: Client, message: Any, status: str) -> Any:
    """Wait until a message stands at a status, and return its story."""

    async def look() -> Any:
        story = (await client.get(f"/v1/messages/{message['id']}")).body
        return story if story["status"] == status else None

    return await until(look)


async def retrying(client: Client, **address: str) -> Any:
    """Return a message whose next attempt is an hour away."""

    async def look() -> Any:
        story = (await client.get(f"/v1/messages/{message['id']}")).body
        moving = any(one["status"] == "sending" for one in story["deliveries"])
        return story if story["status"] == "queued" and not moving else None

    message = await tell(client, "temporary", **address)
    return await until(look)


async def held(client: Client) -> Any:
    """Return a message that waits for an operator."""
    return await shown(client, await tell(client, "hang", channel="careful"), "held")


def statuses(story: Any) -> list[tuple[str, str | None]]:
    return [(one["status"], one["reason"]) for one in story["deliveries"]]


async def test_what_waits_is_cancelled_and_stays_so(client: Client) -> None:
    story = await retrying(client)
    path = f"/v1/messages/{story['id']}"
    cancelled = await client.post(f"{path}/cancel")
    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
    assert statuses(cancelled.body) == [("cancelled", "operator")]
    assert cancelled.body["deliveries"][0]["finished_at"] is not None
    for answer in (
        await client.post(f"{path}/cancel"),
        await client.post(f"/v1/deliveries/{story['deliveries'][0]['id']}/cancel"),
    ):
        assert (answer.status, answer.body["code"]) == (409, "final")
    assert (await client.get(path)).body == cancelled.body


async def test_cancelling_one_delivery_leaves_the_others(client: Client) -> None:
    story = await retrying(client, topic="both")
    assert statuses(story) == [("pending", None), ("sent", None)]
    first = story["deliveries"][0]["id"]
    answer = await client.post(f"/v1/deliveries/{first}/cancel")
    assert (answer.status, answer.body["status"]) == (200, "cancelled")
    assert [one["outcome"] for one in answer.body["attempts"]] == ["temporary_error"]
    story = (await client.get(f"/v1/messages/{story['id']}")).body
    assert (story["status"], statuses(story)[1]) == ("partial", ("sent", None))


async def test_what_is_being_sent_ends_and_success_wins(client: Client, author: Author) -> None:
    message = await tell(client, "wait for go")
    await until(lambda: asyncio.to_thread(author.kinds))
    answer = await client.post(f"/v1/messages/{message['id']}/cancel")
    assert (answer.status, answer.body["status"]) == (200, "sending")
    author.allow("go")
    assert statuses(await shown(client, message, "sent")) == [("sent", None)]


async def test_what_is_being_sent_and_would_be_tried_again_is_cancelled_instead(
    client: Client, author: Author
) -> None:
    message = await tell(client, "hang")
    await until(lambda: asyncio.to_thread(author.kinds))
    [delivery] = message["deliveries"]
    answer = await client.post(f"/v1/deliveries/{delivery['id']}/cancel")
    assert (answer.status, answer.body["status"]) == (200, "sending")
    story = await shown(client, message, "cancelled")
    assert statuses(story) == [("cancelled", "operator")]
    assert [one["outcome"] for one in story["deliveries"][0]["attempts"]] == ["timeout"]


async def test_a_held_delivery_is_released_and_tried_again(client: Client) -> None:
    story = await held(client)
    assert statuses(story) == [("held", "unknown_outcome")]
    delivery = story["deliveries"][0]["id"]
    again = await client.post(f"/v1/deliveries/{delivery}/resend")
    assert (again.status, again.body["code"]) == (409, "delivery_not_final")
    await client.call("PATCH", "/v1/channels/careful", {"plugin": "Sink"})
    released = await client.post(f"/v1/deliveries/{delivery}/release")
    assert released.status == 200
    assert released.body["status"] in {"pending", "sending", "sent"}
    story = await shown(client, story, "sent")
    attempts = story["deliveries"][0]["attempts"]
    assert [(one["number"], one["outcome"]) for one in attempts] == [(1, "timeout"), (2, "sent")]
    refused = await client.post(f"/v1/deliveries/{delivery}/release")
    assert (refused.status, refused.body["code"]) == (409, "delivery_not_held")


async def test_a_held_delivery_is_cancelled(client: Client) -> None:
    story = await held(client)
    answer = await client.post(f"/v1/messages/{story['id']}/cancel")
    assert statuses(answer.body) == [("cancelled", "operator")]
    assert answer.body["status"] == "cancelled"


async def test_what_failed_is_sent_again_as_a_new_delivery_that_names_the_old(
    client: Client,
) -> None:
    message = await tell(client, "permanent", topic="both")
    story = await shown(client, message, "partial")
    failed, sent = story["deliveries"]
    assert (failed["status"], failed["reason"]) == ("failed", "permanent")
    await client.call("PATCH", "/v1/channels/told", {"plugin": "Sink"})
    answer = await client.post(f"/v1/messages/{message['id']}/resend")
    assert answer.status == 202
    story = await shown(client, message, "sent")
    by_id = {one["id"]: one for one in story["deliveries"]}
    assert by_id.pop(failed["id"]) == failed
    assert by_id.pop(sent["id"]) == sent
    [(_, new)] = by_id.items()
    assert (new["resend_of"], new["channel"]) == (failed["id"], "told")
    assert (new["status"], new["attempt_number"]) == ("sent", 1)
    refused = await client.post(f"/v1/messages/{message['id']}/resend")
    assert (refused.status, refused.body["code"]) == (409, "nothing_to_resend")


async def test_what_was_sent_is_sent_again_only_when_asked_for(
    client: Client, author: Author
) -> None:
    message = await tell(client, "fine")
    await shown(client, message, "sent")
    refused = await client.post(f"/v1/messages/{message['id']}/resend")
    assert (refused.status, refused.body["code"]) == (409, "nothing_to_resend")
    path = f"/v1/messages/{message['id']}/resend?sent_too=true"
    assert (await client.post(path)).status == 202
    story = await client.final(message["id"])
    assert statuses(story) == [("sent", None)] * 2
    assert len({one["key"] for one in author.traces()}) == 2


async def test_one_delivery_is_sent_again_once_and_then_its_successor(client: Client) -> None:
    story = await shown(client, await tell(client, "permanent"), "failed")
    first = story["deliveries"][0]["id"]
    answers = await asyncio.gather(
        *(client.post(f"/v1/deliveries/{first}/resend") for _ in range(4))
    )
    assert sorted(one.status for one in answers) == [202, 409, 409, 409]
    [new] = [one.body for one in answers if one.status == 202]
    assert new["resend_of"] == first
    refused = await client.post(f"/v1/deliveries/{first}/resend")
    assert (refused.status, refused.body["code"]) == (409, "delivery_resent")
    await client.final(story["id"])
    again = await client.post(f"/v1/deliveries/{new['id']}/resend")
    assert (again.status, again.body["resend_of"]) == (202, new["id"])


async def test_what_still_waits_is_not_sent_again(client: Client) -> None:
    story = await retrying(client)
    refused = await client.post(f"/v1/messages/{story['id']}/resend?sent_too=true")
    assert (refused.status, refused.body["code"]) == (409, "nothing_to_resend")
    refused = await client.post(f"/v1/deliveries/{story['deliveries'][0]['id']}/resend")
    assert (refused.status, refused.body["code"]) == (409, "delivery_not_final")


async def test_what_was_for_a_channel_that_is_gone_is_not_sent_again(client: Client) -> None:
    message = await tell(client, "permanent", channel="careful")
    await shown(client, message, "failed")
    assert (await client.call("DELETE", "/v1/channels/careful")).status == 204
    refused = await client.post(f"/v1/messages/{message['id']}/resend")
    assert (refused.status, refused.body["code"]) == (409, "channel_gone")
    assert "'careful'" in refused.body["detail"]


async def test_a_message_for_a_disabled_channel_waits_until_it_is_enabled(
    client: Client,
) -> None:
    await client.call("PATCH", "/v1/channels/told", {"enabled": False})
    message = await tell(client, "fine")
    assert message["status"] == "queued"
    assert message["deliveries"][0]["status"] == "pending"
    await client.call("PATCH", "/v1/channels/told", {"enabled": True})
    assert (await client.final(message["id"]))["status"] == "sent"


async def test_a_channel_is_tested_and_its_attempt_shown(client: Client) -> None:
    await client.call("PATCH", "/v1/channels/told", {"plugin": "Sink"})
    tested = await client.post("/v1/channels/TOLD/test")
    assert tested.status == 200
    story = tested.body
    assert (story["status"], story["topic"], story["tags"]) == ("sent", None, ["test"])
    assert [one["outcome"] for one in story["deliveries"][0]["attempts"]] == ["sent"]
    assert (await client.get(f"/v1/messages/{story['id']}")).body == story


async def test_a_test_that_fails_shows_why(client: Client) -> None:
    webhook = {"url": "http://127.0.0.1:9/hook"}
    await client.post("/v1/channels", {"name": "w", "plugin": "Webhook", "settings": webhook})
    story = (await client.post("/v1/channels/w/test")).body
    [attempt] = story["deliveries"][0]["attempts"]
    assert attempt["outcome"] == "temporary_error"
    assert attempt["error"]
    assert statuses(story) == [("pending", None)]


async def test_a_disabled_channel_is_not_tested(client: Client) -> None:
    await client.call("PATCH", "/v1/channels/told", {"enabled": False})
    refused = await client.post("/v1/channels/told/test")
    assert (refused.status, refused.body["code"]) == (409, "channel_disabled")
    assert (await client.get("/v1/messages")).body["data"] == []
