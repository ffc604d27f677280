"""Channels that pause by themselves: real receivers that fail and recover, over both databases."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from almenara.testing import Answer, FakeService, Received, SmtpSink
from tests.serving import Client, until


@pytest.fixture
async def receiver() -> AsyncIterator[FakeService]:
    with FakeService() as one:
        yield one


async def channel(client: Client, name: str, plugin: str, **fields: Any) -> None:
    created = await client.post("/v1/channels", {"name": name, "plugin": plugin, **fields})
    assert created.status == 201, created.text


async def tell(client: Client, name: str) -> str:
    accepted = await client.post("/v1/messages", {"channel": name, "description": "hello"})
    assert accepted.status == 202, accepted.text
    return str(accepted.body["id"])


async def settled(client: Client) -> None:
    for _ in range(3):
        await client.final(await tell(client, "log"))


async def paused(client: Client, name: str) -> Any:
    """Wait until a channel is paused, and return it."""

    async def look() -> Any:
        shown = (await client.get(f"/v1/channels/{name}")).body
        return shown if shown["state"] == "paused" else None

    return await until(look)


async def outcomes(client: Client, message_id: str) -> list[str]:
    story = await client.final(message_id)
    assert story["status"] == "sent"
    [delivery] = story["deliveries"]
    return [one["outcome"] for one in delivery["attempts"]]


async def test_a_channel_that_fails_pauses_is_tried_by_one_probe_and_resumes(
    client: Client, receiver: FakeService
) -> None:
    receiver.answer = Answer(503)
    await channel(
        client,
        "hook",
        "Webhook",
        settings={"url": f"{receiver.url}/secret-path"},
        concurrency=1,
        retry_schedule=["1s"] * 20,
        breaker_failures=3,
        breaker_wait="2s",
    )
    ids = [await tell(client, "hook") for _ in range(3)]
    shown = await paused(client, "hook")
    assert (shown["state_reason"], shown["probe_at"] is None) == ("failures", False)
    assert shown["state_detail"].startswith("3 attempts in a row have failed; the last: ")
    assert "503" in shown["state_detail"]
    assert "secret-path" not in shown["state_detail"]
    failed = len(receiver.received)
    assert failed == 3
    answered = threading.Event()

    async def asked() -> bool:
        return len(receiver.received) > failed

    def keep_waiting(_: Received) -> Answer:
        answered.wait(60)
        return Answer()

    receiver.answer = keep_waiting
    ids += [await tell(client, "hook") for _ in range(3)]
    await settled(client)
    assert [(await client.get(f"/v1/messages/{one}")).body["status"] for one in ids[3:]] == [
        "queued"
    ] * 3
    await until(asked)
    ids.append(await tell(client, "hook"))
    await settled(client)
    assert len(receiver.received) == failed + 1
    answered.set()
    told = [await outcomes(client, one) for one in ids]
    assert all(one[-1] == "sent" for one in told)
    assert sum(one.count("temporary_error") for one in told) == failed
    assert (await client.get("/v1/channels/hook")).body["state"] == "active"


async def test_a_probe_that_fails_keeps_the_channel_paused_for_longer(
    client: Client, receiver: FakeService
) -> None:
    receiver.answer = Answer(503)
    settings = {"url": receiver.url}
    await channel(
        client, "hook", "Webhook", settings=settings, breaker_failures=1, breaker_wait="1s"
    )
    await tell(client, "hook")
    first = await paused(client, "hook")
    await tell(client, "hook")

    async def probed() -> Any:
        shown = (await client.get("/v1/channels/hook")).body
        later = len(receiver.received) == 2 and shown["probe_at"] > first["probe_at"]
        return shown if later else None

    shown = await until(probed)
    assert shown["state_changed_at"] == first["state_changed_at"]
    assert shown["state"] == "paused"


async def test_a_wrong_password_pauses_at_once_and_the_right_one_resumes(client: Client) -> None:
    with SmtpSink(credentials=("shop", "open-sesame")) as smtp:
        settings = {
            "server": smtp.host,
            "port": smtp.port,
            "username": "shop",
            "password": "wrong-word",
            "from": "shop@example.org",
            "to": "ana@example.org",
        }
        await channel(client, "mail", "Email", settings=settings, concurrency=1)
        first = await tell(client, "mail")
        shown = await paused(client, "mail")
        assert (shown["state_reason"], shown["probe_at"]) == ("misconfigured", None)
        assert "check `username` and `password`" in shown["state_detail"]
        assert "wrong-word" not in shown["state_detail"]
        second = await tell(client, "mail")
        await settled(client)
        for one in (first, second):
            story = (await client.get(f"/v1/messages/{one}")).body
            assert story["status"] == "queued"
        assert smtp.mails == []
        changes = {"settings": {"password": "open-sesame"}}
        changed = await client.call("PATCH", "/v1/channels/mail", changes)
        assert (changed.body["state"], changed.body["state_reason"]) == ("active", None)
        assert await outcomes(client, first) == ["permanent_error", "sent"]
        assert await outcomes(client, second) == ["sent"]
        assert len(smtp.mails) == 2


async def test_a_revoked_token_pauses_at_once_and_other_channels_go_on(
    client: Client, receiver: FakeService
) -> None:
    receiver.answer = Answer(body=json.dumps({"ok": False, "error": "token_revoked"}).encode())
    settings = {"bot_token": "xoxb-s3cr3t", "channel": "C0123456789", "api_url": receiver.url}
    await channel(client, "team", "Slack", settings=settings)
    await client.post("/v1/topics", {"name": "sales", "channels": ["team", "log"]})
    accepted = await client.post("/v1/messages", {"topic": "sales", "description": "hello"})
    shown = await paused(client, "team")
    assert shown["state_reason"] == "misconfigured"
    assert "token_revoked" in shown["state_detail"]

    async def other_sent() -> bool:
        story = (await client.get(f"/v1/messages/{accepted.body['id']}")).body
        return {one["channel"]: one["status"] for one in story["deliveries"]} == {
            "team": "pending",
            "log": "sent",
        }

    await until(other_sent)
    receiver.answer = Answer(body=b'{"ok": true, "channel": "C0123456789", "ts": "1.2"}')
    assert (await client.post("/v1/channels/team/resume")).status == 200
    story = await client.final(accepted.body["id"])
    assert story["status"] == "sent"
    assert len(receiver.received) == 2


async def test_an_operator_takes_over_a_channel_that_paused_by_itself(
    client: Client, receiver: FakeService
) -> None:
    receiver.answer = Answer(503)
    settings = {"url": receiver.url}
    await channel(
        client, "hook", "Webhook", settings=settings, breaker_failures=1, breaker_wait="1s"
    )
    message_id = await tell(client, "hook")
    await paused(client, "hook")
    taken = await client.post("/v1/channels/hook/pause")
    assert (taken.body["state_reason"], taken.body["probe_at"]) == ("operator", None)
    receiver.answer = Answer(200)
    await client.call("PATCH", "/v1/channels/hook", {"retry_schedule": ["1s"]})
    assert (await client.post("/v1/channels/hook/resume")).status == 200
    story = (await client.get(f"/v1/messages/{message_id}")).body
    assert story["deliveries"][0]["status"] in {"pending", "sending", "sent"}


async def test_a_pause_and_a_resumption_are_told_on_their_topics(
    client: Client, receiver: FakeService
) -> None:
    receiver.answer = Answer(410)
    await channel(client, "hook", "Webhook", settings={"url": receiver.url})
    for event in ("paused", "resumed"):
        topic = {"name": f"almenara.channel-{event}", "channels": ["log"]}
        assert (await client.post("/v1/topics", topic)).status == 201
    message_id = await tell(client, "hook")
    shown = await paused(client, "hook")
    receiver.answer = Answer(200)
    assert (await client.post("/v1/channels/hook/resume")).status == 200
    assert await outcomes(client, message_id) == ["permanent_error", "sent"]
    told: dict[str, Any] = {}
    for event in ("paused", "resumed"):

        async def sent(topic: str = f"almenara.channel-{event}") -> Any:
            return (await client.get(f"/v1/messages?topic={topic}&status=sent")).body["data"]

        [told[event]] = await until(sent)
    assert told["paused"]["title"] == "Channel paused: hook"
    assert told["paused"]["data"] == {
        "channel": "hook",
        "reason": "misconfigured",
        "detail": shown["state_detail"],
    }
    assert told["resumed"]["data"] == {"channel": "hook", "reason": "misconfigured"}
