"""What a sender and an operator see of redaction and purging; over both databases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from almenara import retention
from almenara.retention import Retention
from almenara.settings import Settings
from tests.plugins.author import Author
from tests.serving import Client, make_settings, served, until

CANARY = "CANARY-8d1f6a"
KEY = {"Idempotency-Key": "order 17"}

#: Its title, texts and recipients; short ones, and ones that fill pages of their own.
BODIES: list[dict[str, Any]] = [
    {
        "title": f"{CANARY} title",
        "description": f"{CANARY} text",
        "data": {"name": CANARY, CANARY: 1},
        "metadata": {"seen": [CANARY]},
        "to": [f"{CANARY}@example.org"],
    },
    {"description": CANARY * 2_000, "data": {"long": CANARY * 1_000}},
]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_REDACT_EVERY", 0.05)


async def discreet(client: Client, *channels: str) -> None:
    body = {"channels": list(channels), "redact": True}
    answer = await client.call("PUT", "/v1/topics/discreet", body)
    assert answer.body["redact"] is True


async def send(client: Client, topic: str = "discreet", **fields: Any) -> Any:
    answer = await client.post("/v1/messages", {"topic": topic} | fields, headers=KEY)
    assert answer.status == 202, answer.text
    return answer.body


async def redacted(client: Client, message: Any) -> Any:
    """Wait until a message is redacted, and return its story."""

    async def look() -> Any:
        story = (await client.get(f"/v1/messages/{message['id']}")).body
        return story if story["redacted_at"] else None

    return await until(look)


async def test_a_finished_message_keeps_its_facts_and_loses_its_texts(client: Client) -> None:
    await discreet(client, "log")
    message = await send(client, reference="chat-7", tags=["vip"], **BODIES[0])
    story = await redacted(client, message)
    texts = {name: story[name] for name in BODIES[0]}
    assert texts == {"title": None, "description": "", "data": {}, "metadata": {}, "to": []}
    assert (story["status"], story["reference"], story["tags"]) == ("sent", "chat-7", ["vip"])
    [delivery] = story["deliveries"]
    [attempt] = delivery["attempts"]
    assert (attempt["outcome"], attempt["number"]) == ("sent", 1)
    assert (attempt["error"], attempt["detail"]) == (None, None)
    assert CANARY not in str(story)
    [listed] = (await client.get("/v1/messages?topic=discreet&reference=chat-7")).body["data"]
    assert listed == {name: story[name] for name in listed}
    assert (await client.get(f"/v1/messages?q={CANARY}")).body["data"] == []


async def test_a_repetition_is_known_after_the_texts_are_gone(client: Client) -> None:
    await discreet(client, "log")
    message = await send(client, **BODIES[0])
    await redacted(client, message)
    again = await send(client, **BODIES[0])
    assert (again["duplicate"], again["id"]) == (True, message["id"])
    # Whether the topic redacts is not part of what the sender wrote.
    await client.call("PATCH", "/v1/topics/discreet", {"redact": False})
    assert (await send(client, **BODIES[0]))["id"] == message["id"]
    other = {"topic": "discreet", "description": "another"}
    answer = await client.post("/v1/messages", other, headers=KEY)
    assert (answer.status, answer.body["code"]) == (422, "key_reused")


async def test_a_redacted_message_cannot_be_sent_again(client: Client) -> None:
    await discreet(client, "log")
    story = await redacted(client, await send(client, **BODIES[0]))
    for path in (
        f"/v1/messages/{story['id']}/resend?sent_too=true",
        f"/v1/deliveries/{story['deliveries'][0]['id']}/resend",
    ):
        answer = await client.post(path)
        assert (answer.status, answer.body["code"]) == (409, "message_redacted"), path
        assert "send a new one" in answer.body["detail"]
    after = (await client.get(f"/v1/messages/{story['id']}")).body
    assert after == story


async def test_a_message_to_a_channel_keeps_its_texts_whatever_topic_it_names(
    client: Client,
) -> None:
    await discreet(client, "log")
    direct = await send(client, channel="log", **BODIES[0])
    await client.final(direct["id"])
    later = await client.post("/v1/messages", {"topic": "discreet", "description": "later"})
    await redacted(client, later.body)
    story = (await client.get(f"/v1/messages/{direct['id']}")).body
    assert (story["title"], story["redacted_at"]) == (BODIES[0]["title"], None)


async def test_redact_is_a_field_of_a_topic(client: Client) -> None:
    assert (await client.get("/v1/topics/hello")).body["redact"] is False
    changed = await client.call("PATCH", "/v1/topics/hello", {"redact": True})
    assert changed.body["redact"] is True
    other = await client.call("PATCH", "/v1/topics/hello", {"enabled": True})
    assert other.body["redact"] is True
    refused = await client.call("PATCH", "/v1/topics/hello", {"redact": "perhaps"})
    assert (refused.status, refused.body["errors"][0]["field"]) == (422, "redact")
    replaced = await client.call("PUT", "/v1/topics/hello", {"channel": "log"})
    assert replaced.body["redact"] is False


async def test_a_message_that_waits_keeps_its_texts_until_it_is_cancelled(
    settings: Settings,
) -> None:
    Author(settings.plugins_dir)
    async with served(settings) as client:
        channel = {"name": "told", "plugin": "Told", "retry_schedule": ["1h"]}
        assert (await client.post("/v1/channels", channel)).status == 201
        await discreet(client, "told")
        message = await send(client, description="temporary")
        done = await client.post("/v1/topics/discreet/messages", {"description": "fine"})
        await redacted(client, done.body)
        waiting = (await client.get(f"/v1/messages/{message['id']}")).body
        assert (waiting["description"], waiting["redacted_at"]) == ("temporary", None)
        assert (await client.post(f"/v1/messages/{message['id']}/cancel")).status == 200
        story = await redacted(client, message)
    assert (story["status"], story["description"]) == ("cancelled", "")
    assert [one["error"] for one in story["deliveries"][0]["attempts"]] == [None]


# --- the texts are gone from SQLite's files too


def bytes_of(settings: Settings) -> bytes:
    """Read all that SQLite keeps of a database."""
    return b"".join(
        path.read_bytes() for path in sorted(settings.data_dir.glob("almenara.sqlite3*"))
    )


async def gone(settings: Settings) -> None:
    async def look() -> bool:
        return CANARY.encode() not in await asyncio.to_thread(bytes_of, settings)

    await until(look, 30)


async def test_redacted_texts_are_gone_from_the_files_while_the_server_runs(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path)
    Author(settings.plugins_dir)
    async with served(settings) as client:
        channel = {"name": "told", "plugin": "Told", "retry_schedule": ["1h"]}
        await client.post("/v1/channels", channel)
        await discreet(client, "told", "log")
        held_back = {"topic": "discreet", "title": CANARY, "description": "temporary"}
        waiting = (await client.post("/v1/messages", held_back)).body
        ids = []
        for number in range(60):
            body = {"topic": "discreet"} | BODIES[number % 2] | {"reference": str(number)}
            ids.append((await client.post("/v1/messages", body)).body["id"])
        for message_id in ids:
            await redacted(client, {"id": message_id})
        # What waits is still to be seen: the look at the files can find it.
        assert CANARY.encode() in bytes_of(settings)
        await client.post(f"/v1/messages/{waiting['id']}/cancel")
        await redacted(client, waiting)
        await gone(settings)
        assert len((await client.get("/v1/messages?limit=250")).body["data"]) == 61


async def test_purged_messages_are_gone_from_the_files_while_the_server_runs(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path, retention_days=30)
    async with served(settings) as client:
        for number in range(60):
            body = {"topic": "hello"} | BODIES[number % 2] | {"reference": f"{CANARY} {number}"}
            await client.final((await client.post("/v1/messages", body)).body["id"])
        assert CANARY.encode() in bytes_of(settings)
        later = datetime.now(UTC) + timedelta(days=30, seconds=1)
        parts = client.parts
        one = Retention(database=parts.database, ledger=parts.ledger, clock=lambda: later, days=30)
        assert await one.purge() == 60
        await gone(settings)
        assert (await client.get("/v1/messages")).body["data"] == []


async def test_the_server_purges_when_it_starts(settings: Settings) -> None:
    async with served(settings) as client:
        old = await client.post("/v1/messages", {"topic": "hello", "description": "old"})
        await client.final(old.body["id"])
    later = datetime.now(UTC) + timedelta(days=90, seconds=1)
    async with served(settings, clock=lambda: later) as client:

        async def look() -> bool:
            return (await client.get(f"/v1/messages/{old.body['id']}")).status == 404

        await until(look)
