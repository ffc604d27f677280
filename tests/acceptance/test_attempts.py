"""What plugins do, and what the log says of it; over the real server, both databases."""

from __future__ import annotations

from typing import Any

import pytest

from almenara.settings import Settings
from tests.plugins.author import Author
from tests.serving import Client, served, until


@pytest.fixture
def author(settings: Settings) -> Author:
    return Author(settings.plugins_dir)


@pytest.fixture
async def client(settings: Settings, author: Author) -> Any:
    async with served(settings) as one:
        yield one


async def channel(client: Client, plugin: str, **fields: Any) -> None:
    created = await client.post(
        "/v1/channels", {"name": plugin.lower(), "plugin": plugin, **fields}
    )
    assert created.status == 201, created.text


async def tell(client: Client, plugin: str, description: str) -> Any:
    """Send through a channel, wait for the first attempt, and return the delivery."""
    accepted = await client.post(
        "/v1/messages", {"channel": plugin.lower(), "description": description}
    )
    assert accepted.status == 202, accepted.text

    async def look() -> Any:
        story = (await client.get(f"/v1/messages/{accepted.body['id']}")).body
        [delivery] = story["deliveries"]
        return delivery if delivery["attempts"] else None

    return await until(look)


async def test_an_async_plugin_sends_and_its_string_is_the_reference(
    client: Client, author: Author
) -> None:
    await channel(client, "Sink")
    delivery = await tell(client, "Sink", "hello")
    assert delivery["status"] == "sent"
    assert delivery["reference"] == f"receipt-{delivery['id']}"
    [trace] = author.traces()
    assert trace["key"] == delivery["id"]


async def test_a_sync_plugin_runs_in_a_thread_and_its_receipt_is_recorded(
    client: Client, author: Author
) -> None:
    await channel(client, "SyncSink")
    delivery = await tell(client, "SyncSink", "hello")
    assert (delivery["status"], delivery["reference"]) == ("sent", "sync-reference")
    assert delivery["attempts"][0]["detail"] == "by a thread"
    assert author.kinds() == ["sync"]


async def test_a_plugin_for_plain_fastapi_works_unmodified(
    client: Client, author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIN_TOKEN", "a token")
    await channel(client, "Plain")
    delivery = await tell(client, "Plain", "hello")
    assert delivery["status"] == "sent"
    assert author.kinds() == [
        "async in the background with a token",
        "sync in the background",
    ]


async def test_an_error_in_background_work_is_the_attempts(client: Client) -> None:
    await channel(client, "BackgroundFailure")
    delivery = await tell(client, "BackgroundFailure", "hello")
    assert delivery["status"] == "pending"
    [attempt] = delivery["attempts"]
    assert attempt["outcome"] == "temporary_error"
    assert attempt["error"] == "ValueError: the background work failed"


@pytest.mark.parametrize(
    ("said", "status", "reason", "outcome", "error"),
    [
        ("permanent", "failed", "permanent", "permanent_error", "The address does not exist."),
        ("temporary", "pending", None, "temporary_error", "Try later."),
        ("limited", "pending", None, "rate_limited", "Slow down."),
        ("surprise", "pending", None, "temporary_error", "KeyError: 'a surprise with ********'"),
        ("exit", "pending", None, "temporary_error", "SystemExit: 3"),
        ("interrupt", "pending", None, "temporary_error", "KeyboardInterrupt"),
        ("cancelled", "pending", None, "temporary_error", "CancelledError"),
        ("number", "sent", None, "sent", None),
    ],
)
async def test_what_a_plugin_raises_decides(  # noqa: PLR0917 - pytest passes them by name
    client: Client, said: str, status: str, reason: str | None, outcome: str, error: str | None
) -> None:
    await channel(client, "Told")
    delivery = await tell(client, "Told", said)
    assert (delivery["status"], delivery["reason"]) == (status, reason)
    [attempt] = delivery["attempts"]
    assert (attempt["outcome"], attempt["error"]) == (outcome, error)
    # The server is alive after all of it.
    assert (await client.get("/readyz")).status == 200


async def test_a_sync_plugin_that_exits_hurts_nobody(client: Client) -> None:
    await channel(client, "SyncTold")
    delivery = await tell(client, "SyncTold", "exit")
    assert delivery["attempts"][0]["error"] == "SystemExit: 3"
    assert (await client.get("/readyz")).status == 200


async def test_a_service_that_asks_for_an_hour_is_given_it(client: Client) -> None:
    await channel(client, "Told")
    delivery = await tell(client, "Told", "limited")
    waited = _seconds(delivery["attempts"][0]["finished_at"], delivery["due_at"])
    assert waited >= 3600


@pytest.mark.parametrize("said", ["hang", "stubborn"])
async def test_the_deadline_ends_an_attempt_that_hangs(client: Client, said: str) -> None:
    await channel(client, "Told", timeout_seconds=1)
    delivery = await tell(client, "Told", said)
    assert delivery["status"] == "pending"
    [attempt] = delivery["attempts"]
    assert attempt["outcome"] == "timeout"
    assert "deadline of 1 s" in attempt["error"]


async def test_a_timeout_is_held_where_the_channel_says_so(client: Client) -> None:
    await channel(client, "Told", timeout_seconds=1, on_unknown="hold")
    delivery = await tell(client, "Told", "hang")
    assert (delivery["status"], delivery["reason"]) == ("held", "unknown_outcome")


async def test_a_sync_plugin_past_its_deadline_keeps_its_slot_until_its_thread_ends(
    client: Client, author: Author
) -> None:
    await channel(client, "SyncTold", timeout_seconds=1, concurrency=1, retry_schedule=["7d"])
    delivery = await tell(client, "SyncTold", "wait for the thread")
    assert delivery["attempts"][0]["outcome"] == "timeout"
    second = await client.post("/v1/messages", {"channel": "synctold", "description": "second"})
    assert second.body["deliveries"][0]["status"] == "pending"
    author.allow("the thread")
    story = await client.final(second.body["id"])
    assert story["status"] == "sent"


async def test_the_schedule_is_used_up_step_by_step(client: Client) -> None:
    await channel(client, "Told", retry_schedule=["0s", "0s"])
    accepted = await client.post("/v1/messages", {"channel": "told", "description": "temporary"})
    story = await client.final(accepted.body["id"])
    [delivery] = story["deliveries"]
    assert (delivery["status"], delivery["reason"]) == ("failed", "exhausted")
    assert [one["number"] for one in delivery["attempts"]] == [1, 2, 3]
    assert story["status"] == "failed"


async def test_a_constructor_that_needs_the_loop_gets_it(client: Client, author: Author) -> None:
    await channel(client, "NeedsLoop")
    delivery = await tell(client, "NeedsLoop", "hello")
    assert delivery["status"] == "sent"
    assert author.kinds() == ["on the loop"]


async def test_a_plugin_that_is_missing_now_is_an_error_that_says_so(
    settings: Settings, author: Author
) -> None:
    async with served(settings) as one:
        await channel(one, "Sink")
    (settings.plugins_dir / "author" / "plugins.py").unlink()
    async with served(settings) as one:
        delivery = await tell(one, "Sink", "hello")
        assert delivery["status"] == "pending"
        assert "Sink" in delivery["attempts"][0]["error"]


def _seconds(earlier: str, later: str) -> float:
    from datetime import datetime

    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
