"""Channels over HTTP: each change is effective when it is answered; over both databases."""

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
        yield one


async def channel(client: Client, name: str, plugin: str = "Sink", **fields: Any) -> Any:
    created = await client.post("/v1/channels", {"name": name, "plugin": plugin, **fields})
    assert created.status == 201, created.text
    return created


async def tell(client: Client, description: str = "hello", **address: str) -> Any:
    accepted = await client.post("/v1/messages", {"description": description, **address})
    assert accepted.status == 202, accepted.text
    return accepted.body


async def one_that_waits(client: Client, name: str) -> Any:
    """Make a delivery of a channel wait for its next attempt, an hour from now."""
    accepted = await tell(client, "temporary", channel=name)

    async def look() -> Any:
        [delivery] = (await client.get(f"/v1/messages/{accepted['id']}")).body["deliveries"]
        return delivery if delivery["attempts"] and delivery["status"] == "pending" else None

    return await until(look)


def named(answer: Any) -> list[str]:
    """The fields that a refusal names."""
    return [one["field"] for one in answer.body["errors"]]


async def test_a_channel_is_created_shown_listed_and_sends_at_once(client: Client) -> None:
    created = await channel(client, " Team-Slack ", "author.Sink")
    assert created.headers["Location"] == "/v1/channels/team-slack"
    shown = (await client.get("/v1/channels/TEAM-slack")).body
    assert shown == created.body
    times = {"created_at": shown["created_at"], "updated_at": shown["updated_at"]}
    assert shown == times | {
        "name": "team-slack",
        "plugin": "author.Sink",
        "settings": {},
        "enabled": True,
        "timeout_seconds": 15.0,
        "retry_schedule": ["10s", "1m", "5m", "30m", "2h", "8h", "24h"],
        "concurrency": 16,
        "on_unknown": "retry",
        "rate": None,
        "burst": None,
        "breaker_failures": 20,
        "breaker_wait": "30s",
        "template": None,
        "state": "active",
        "state_reason": None,
        "state_detail": None,
        "state_changed_at": None,
        "probe_at": None,
        "verify_every": None,
        "verified_at": None,
        "verify_outcome": None,
        "verify_detail": None,
        "warnings": [],
    }
    listed = (await client.get("/v1/channels")).body
    assert [one["name"] for one in listed["data"]] == ["log", "team-slack"]
    accepted = await tell(client, channel="Team-Slack")
    assert (await client.final(accepted["id"]))["status"] == "sent"


async def test_put_creates_then_replaces_the_whole(client: Client) -> None:
    body = {"plugin": "Sink", "timeout_seconds": 3, "retry_schedule": ["1s", "2d"]}
    created = await client.call("PUT", "/v1/channels/Out", body)
    assert (created.status, created.body["name"]) == (201, "out")
    assert created.body["retry_schedule"] == ["1s", "2d"]
    replaced = await client.call("PUT", "/v1/channels/out", {"plugin": "SyncSink"})
    assert (replaced.status, replaced.body["plugin"]) == (200, "SyncSink")
    assert replaced.body["timeout_seconds"] == 15.0
    assert replaced.body["created_at"] == created.body["created_at"]
    accepted = await tell(client, channel="out")
    [delivery] = (await client.final(accepted["id"]))["deliveries"]
    assert delivery["reference"] == "sync-reference"


async def test_patch_changes_only_what_is_given(client: Client) -> None:
    before = (await channel(client, "out", concurrency=2, on_unknown="hold")).body
    changed = await client.call("PATCH", "/v1/channels/OUT", {"timeout_seconds": 7.5})
    assert changed.status == 200
    assert changed.body["updated_at"] > before["updated_at"]
    expected = before | {"timeout_seconds": 7.5, "updated_at": changed.body["updated_at"]}
    assert changed.body == expected
    other = await client.call("PATCH", "/v1/channels/out", {"plugin": "SyncSink"})
    assert (other.body["plugin"], other.body["concurrency"]) == ("SyncSink", 2)


async def test_changes_at_the_same_time_do_not_undo_each_other(client: Client) -> None:
    await channel(client, "out")
    changes: list[dict[str, Any]] = [
        {"concurrency": 3},
        {"timeout_seconds": 4.0},
        {"enabled": False},
        {"on_unknown": "hold"},
        {"retry_schedule": ["5s"]},
    ]
    path = "/v1/channels/out"
    await asyncio.gather(*(client.call("PATCH", path, change) for change in changes))
    shown = (await client.get(path)).body
    for change in changes:
        assert shown | change == shown


async def test_a_name_that_is_taken_is_a_conflict(client: Client) -> None:
    await channel(client, "out")
    again = await client.post("/v1/channels", {"name": "OUT", "plugin": "SyncSink"})
    assert (again.status, again.body["code"]) == (409, "channel_exists")
    assert (await client.get("/v1/channels/out")).body["plugin"] == "Sink"


async def test_a_channel_that_is_not_there_is_not_found(client: Client) -> None:
    requests: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("PATCH", "", {"enabled": True}),
        ("DELETE", "", None),
        ("POST", "/test", None),
        ("POST", "/verify", None),
    ]
    for method, rest, body in requests:
        answer = await client.call(method, f"/v1/channels/nowhere{rest}", body)
        assert (answer.status, answer.body["code"]) == (404, "not_found"), method
    refused = await client.post("/v1/messages", {"channel": "lag", "description": "x"})
    assert (refused.status, refused.body["code"]) == (422, "channel_not_found")
    assert named(refused) == ["channel"]
    assert "Did you mean log?" in refused.body["detail"]


WRONG_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"name": "a b"}, "name"),
    ({"plugin": ""}, "plugin"),
    ({"plugin": 7}, "plugin"),
    ({"plugin": "p" * 201}, "plugin"),
    ({"settings": []}, "settings"),
    ({"enabled": "yes"}, "enabled"),
    ({"timeout_seconds": 0.5}, "timeout_seconds"),
    ({"timeout_seconds": 21}, "timeout_seconds"),
    ({"timeout_seconds": "3"}, "timeout_seconds"),
    ({"retry_schedule": "10s"}, "retry_schedule"),
    ({"retry_schedule": ["soon"]}, "retry_schedule"),
    ({"retry_schedule": ["8d"]}, "retry_schedule"),
    ({"retry_schedule": [10]}, "retry_schedule.0"),
    ({"retry_schedule": ["1s"] * 51}, "retry_schedule"),
    ({"concurrency": 0}, "concurrency"),
    ({"concurrency": 1025}, "concurrency"),
    ({"concurrency": True}, "concurrency"),
    ({"on_unknown": "guess"}, "on_unknown"),
    ({"speed": 5}, "speed"),
]


async def test_a_wrong_field_is_named(client: Client) -> None:
    good = {"name": "out", "plugin": "Sink"}
    for fields, field in WRONG_FIELDS:
        refused = await client.post("/v1/channels", good | fields)
        assert (refused.status, named(refused)) == (422, [field]), fields
    for missing in good:
        body = {name: value for name, value in good.items() if name != missing}
        refused = await client.post("/v1/channels", body)
        assert (refused.status, named(refused)) == (422, [missing])
    assert len((await client.get("/v1/channels")).body["data"]) == 1


async def test_a_channel_that_topics_use_is_not_deleted_unless_forced(client: Client) -> None:
    await channel(client, "out", "Told", retry_schedule=["1h"])
    for name in ("sales", "billing"):
        await client.post("/v1/topics", {"name": name, "channels": ["out", "log"]})
    waiting = await one_that_waits(client, "out")
    refused = await client.call("DELETE", "/v1/channels/Out")
    assert (refused.status, refused.body["code"]) == (409, "channel_in_use")
    assert "billing, sales" in refused.body["detail"]
    forced = await client.call("DELETE", "/v1/channels/Out?force=true")
    assert (forced.status, forced.text) == (204, "")
    assert (await client.get("/v1/channels/out")).status == 404
    for name in ("sales", "billing"):
        shown = (await client.get(f"/v1/topics/{name}")).body
        assert shown["channels"] == [{"channel": "log"}]
    delivery = (await client.get(f"/v1/deliveries/{waiting['id']}")).body
    assert (delivery["status"], delivery["reason"]) == ("cancelled", "channel_deleted")
    assert delivery["channel"] == "out"
    assert (await tell(client, topic="sales"))["deliveries"][0]["channel"] == "log"


async def test_a_channel_with_deliveries_that_wait_is_not_deleted(client: Client) -> None:
    await channel(client, "out", "Told", retry_schedule=["1h"])
    waiting = await one_that_waits(client, "out")
    refused = await client.call("DELETE", "/v1/channels/out")
    assert (refused.status, refused.body["code"]) == (409, "channel_has_deliveries")
    await client.post(f"/v1/deliveries/{waiting['id']}/cancel")
    assert (await client.call("DELETE", "/v1/channels/out")).status == 204
    again = await client.post(f"/v1/deliveries/{waiting['id']}/resend")
    assert (again.status, again.body["code"]) == (409, "channel_gone")


async def test_what_is_being_sent_ends_though_its_channel_is_deleted(
    client: Client, author: Author
) -> None:
    await channel(client, "out", "Told")
    accepted = await tell(client, "wait for go", channel="out")
    await until(lambda: asyncio.to_thread(author.kinds))
    assert (await client.call("DELETE", "/v1/channels/out?force=true")).status == 204
    author.allow("go")
    assert (await client.final(accepted["id"]))["status"] == "sent"


async def test_what_waits_for_a_disabled_channel_goes_once_it_is_enabled(
    client: Client, author: Author
) -> None:
    await channel(client, "out", "Told", concurrency=1)
    first = await tell(client, "wait for go", channel="out")
    second = await tell(client, "second", channel="out")
    disabled = await client.call("PATCH", "/v1/channels/out", {"enabled": False})
    assert disabled.body["enabled"] is False
    author.allow("go")
    assert (await client.final(first["id"]))["status"] == "sent"
    # What is due on another channel is found, so this was looked through and left.
    await channel(client, "other", "SyncTold", concurrency=1)
    for _ in range(3):
        await client.final((await tell(client, "x", channel="other"))["id"])
    assert (await client.get(f"/v1/messages/{second['id']}")).body["status"] == "queued"
    await client.call("PATCH", "/v1/channels/out", {"enabled": True})
    assert (await client.final(second["id"]))["status"] == "sent"


async def test_a_message_that_finds_no_enabled_channel_is_stored_and_can_be_resent(
    client: Client,
) -> None:
    await channel(client, "out", enabled=False)
    await client.post("/v1/topics", {"name": "sales", "channels": ["out"]})
    accepted = await tell(client, topic="sales")
    assert (accepted["status"], accepted["deliveries"]) == ("no_route", [])
    await client.call("PATCH", "/v1/channels/out", {"enabled": True})
    resent = await client.post(f"/v1/messages/{accepted['id']}/resend")
    assert resent.status == 202
    story = await client.final(accepted["id"])
    assert [(one["channel"], one["status"]) for one in story["deliveries"]] == [("out", "sent")]


async def test_a_disabled_channel_is_left_out_of_the_fan_out(client: Client) -> None:
    await channel(client, "off", enabled=False)
    await client.post("/v1/topics", {"name": "sales", "channels": ["off", "log"]})
    accepted = await tell(client, topic="sales")
    assert [one["channel"] for one in accepted["deliveries"]] == ["log"]


async def test_a_plugin_that_cannot_be_used_is_refused_by_its_reason(settings: Settings) -> None:
    for directory in ("one", "two"):
        place = settings.plugins_dir / directory
        place.mkdir(parents=True)
        source = "class Sms:\n    def send_message(self, message, background_tasks): ...\n"
        (place / "sms.py").write_text(source)
    (settings.plugins_dir / "broken").mkdir()
    (settings.plugins_dir / "broken" / "fax.py").write_text("import no_such_module_at_all\n")
    async with served(settings) as client:
        for plugin, code, word in (
            ("Emial", "plugin_not_found", "Email"),
            ("Sms", "plugin_ambiguous", "one.Sms"),
            ("Fax", "plugin_broken", "no_such_module_at_all"),
        ):
            refused = await client.post("/v1/channels", {"name": "out", "plugin": plugin})
            assert (refused.status, refused.body["code"]) == (422, code)
            assert named(refused) == ["plugin"]
            assert word in refused.body["detail"]
        assert (await channel(client, "out", "two.Sms")).body["plugin"] == "two.Sms"
        # A channel is older than the breakage of its plugin, and can still be disabled.
    (settings.plugins_dir / "two" / "sms.py").write_text("class Sms: syntax error\n")
    async with served(settings) as client:
        disabled = await client.call("PATCH", "/v1/channels/out", {"enabled": False})
        assert (disabled.status, disabled.body["enabled"]) == (200, False)
        refused = await client.call("PATCH", "/v1/channels/out", {"settings": {}})
        assert (refused.status, refused.body["code"]) == (422, "plugin_broken")
