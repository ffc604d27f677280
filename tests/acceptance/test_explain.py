"""Explaining over HTTP: what would happen, with real plugins, nothing stored; both databases."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.serving import Client
from tests.stored import count

_TABLES = ("message", "delivery", "attempt", "idempotency_key", "channel", "topic", "channel_state")
_HOOK = "https://hooks.slack.com/services/T000/B000/a-secret-path"

CHANNELS: list[dict[str, Any]] = [
    {"name": "slack", "plugin": "Slack", "settings": {"webhook_url": _HOOK}},
    {
        "name": "mail",
        "plugin": "email.Email",
        "settings": {
            "server": "smtp.example.org",
            "from": "shop@example.org",
            "to": ["ana@example.org"],
            "subject_prefix": "[shop] ",
        },
        "timeout_seconds": 5,
        "retry_schedule": ["10s", "5m", "24h"],
    },
    {"name": "hook", "plugin": "Webhook", "settings": {"url": "https://example.org/secret-path"}},
]


@pytest.fixture
async def sales(client: Client) -> Client:
    """A client of a server whose topic sales has four channels, two of them choosy."""
    for body in CHANNELS:
        assert (await client.post("/v1/channels", body)).status == 201
    channels = [
        {"channel": "slack", "condition": {"priority": {"at_most": 2}}},
        {"channel": "mail", "condition": {"tags": {"none": ["test"]}}},
        "hook",
        "log",
    ]
    assert (await client.post("/v1/topics", {"name": "sales", "channels": channels})).status == 201
    return client


async def explained(client: Client, **fields: Any) -> Any:
    body = {"topic": "Sales", "description": "I <b>need</b> help & more", **fields}
    answer = await client.post("/v1/messages/explain", body)
    assert answer.status == 200, answer.text
    return answer.body


def by_name(answer: Any) -> dict[str, Any]:
    return {one["channel"]: one for one in answer["channels"]}


async def changed(client: Client, sql: str) -> None:
    """Change the configuration behind the API, as a later version of it would."""
    async with client.parts.database.transaction() as transaction:
        await transaction.execute(sql)
        await transaction.execute("UPDATE configuration SET revision = revision + 1")


async def test_it_says_who_would_get_the_message_and_why(sales: Client) -> None:
    answer = await explained(sales)
    assert [one["channel"] for one in answer["channels"]] == ["slack", "mail", "hook", "log"]
    assert (answer["topic"], answer["strategy"], answer["enabled"]) == ("sales", "all", True)
    assert (answer["status"], answer["send_at"]) == ("queued", None)
    slack, mail, hook, _ = answer["channels"]
    assert (slack["would_send"], slack["matched"], slack["content"]) == (False, False, None)
    assert slack["condition"] == {"priority": {"at_most": 2}}
    assert slack["condition_text"] == "Takes messages whose priority is at most 2."
    assert slack["why_not"] == "The message is not one of those that its condition lets through."
    assert slack["due_at"] is None
    assert (mail["would_send"], mail["matched"], mail["why_not"]) == (True, True, None)
    assert (hook["condition"], hook["condition_text"], hook["matched"]) == (None, None, None)
    assert hook["due_at"] == answer["due_at"]


async def test_it_says_which_plugin_and_by_which_policy(sales: Client) -> None:
    mail = by_name(await explained(sales))["mail"]
    [found] = [one for one in sales.parts.plugins.found if one.qualified_name == "email.Email"]
    assert mail["plugin"] == {
        "name": "email.Email",
        "qualified_name": "email.Email",
        "source": "shipped",
        "revision": found.revision,
        "broken": False,
        "error": None,
    }
    assert mail["policy"] == {
        "timeout_seconds": 5.0,
        "retry_schedule": ["10s", "5m", "24h"],
        "concurrency": 16,
        "on_unknown": "retry",
        "rate": None,
        "burst": None,
    }
    revision = mail["revision"]
    await sales.call("PATCH", "/v1/channels/mail", {"concurrency": 2})
    assert by_name(await explained(sales))["mail"]["revision"] == revision + 1


async def test_it_shows_what_each_plugin_would_send(sales: Client) -> None:
    answer = await explained(sales, priority=1, title="New lead", format="html")
    contents = {name: one["content"] for name, one in by_name(answer).items()}
    assert all(one["rendered"] and one["error"] is None for one in contents.values())
    assert contents["slack"]["parts"] == {"text": "*New lead*\nI *need* help &amp; more"}
    assert contents["mail"]["parts"] == {
        "from": "shop@example.org",
        "to": "ana@example.org",
        "subject": "[shop] New lead",
        "text": "I need help & more",
        "html": "I <b>need</b> help & more",
    }
    posted = json.loads(contents["hook"]["parts"]["body"])
    assert (posted["topic"], posted["channel"], posted["title"]) == ("sales", "hook", "New lead")
    assert contents["log"]["parts"] == {"text": "sales: New lead: I <b>need</b> help & more"}
    assert "secret-path" not in json.dumps(answer)


async def test_nothing_is_stored_and_nothing_is_sent(sales: Client) -> None:
    database = sales.parts.database

    async def rows() -> list[int]:
        [revision] = await database.fetch("SELECT revision FROM configuration")
        return [*[await count(database, table) for table in _TABLES], revision["revision"]]

    before = await rows()
    headers = {"Idempotency-Key": "k"}
    body = {"topic": "sales", "description": "hello", "collapse_key": "c"}
    answer = await sales.post("/v1/messages/explain", body, headers=headers)
    assert answer.status == 200
    assert await rows() == before
    assert (await sales.get("/v1/messages")).body["data"] == []


BAD: list[dict[str, Any]] = [
    {},
    {"topic": "sales"},
    {"description": "hello"},
    {"topic": "sails", "description": "hello"},
    {"channel": "male", "description": "hello"},
    {"topic": "a b", "channel": "mail", "description": "hello"},
    {"topic": "sales", "description": " "},
    {"topic": "sales", "description": "hello", "colour": "red"},
    {"topic": "sales", "description": "hello", "priority": 9, "tags": [""]},
    {"topic": "sales", "description": "hello", "send_at": "2020-01-01T00:00:00Z"},
    {"topic": "sales", "description": "hello", "send_at": "tomorrow"},
    {"topic": "sales", "description": "a\x00b"},
]


async def test_what_would_be_refused_is_refused_in_the_same_words(sales: Client) -> None:
    for body in BAD:
        accepted = await sales.post("/v1/messages", body)
        refused = await sales.post("/v1/messages/explain", body)
        assert refused.status == accepted.status == 422, body
        assert refused.body == accepted.body
    assert "Did you mean sales?" in (await sales.post("/v1/messages/explain", BAD[3])).text


async def test_a_scheduled_message_would_wait(sales: Client) -> None:
    base = datetime.fromisoformat((await explained(sales))["due_at"])
    send_at = base + timedelta(hours=2)
    answer = await explained(sales, send_at=send_at.isoformat())
    assert answer["status"] == "scheduled"
    times = [answer["due_at"], answer["send_at"], by_name(answer)["log"]["due_at"]]
    assert [datetime.fromisoformat(one) for one in times] == [send_at] * 3


async def test_in_a_chain_each_channel_has_its_turn(sales: Client) -> None:
    fields = {"strategy": "failover", "step_deadline_seconds": 60}
    await sales.call("PATCH", "/v1/topics/sales", fields)
    answer = await explained(sales)
    assert answer["strategy"] == "failover"
    due_at = datetime.fromisoformat(answer["due_at"])
    turns = {
        name: (datetime.fromisoformat(one["due_at"]) - due_at).total_seconds()
        for name, one in by_name(answer).items()
        if one["would_send"]
    }
    # The channel whose condition does not fit takes no time of the chain.
    assert turns == {"mail": 0, "hook": 60, "log": 120}
    waits = {name: one["waits_for"] for name, one in by_name(answer).items()}
    assert (waits["slack"], waits["mail"]) == (None, None)
    assert waits["hook"].startswith("It has its turn when the channel before it has failed")


async def test_what_rests_says_so(sales: Client) -> None:
    await sales.call("PATCH", "/v1/channels/hook", {"enabled": False})
    channel = (await sales.parts.channels.get("log")).id
    await changed(
        sales, f"INSERT INTO channel_state (channel_id, state) VALUES ('{channel}', 'paused')"
    )
    channels = by_name(await explained(sales))
    assert (channels["hook"]["enabled"], channels["hook"]["would_send"]) == (False, False)
    assert channels["hook"]["why_not"] == "The channel hook is disabled."
    assert (channels["log"]["paused"], channels["log"]["would_send"]) == (True, True)
    assert channels["log"]["waits_for"].startswith("The channel is paused")
    direct = await explained(sales, channel="hook")
    assert (direct["topic"], direct["strategy"], direct["enabled"]) == ("sales", None, None)
    [hook] = direct["channels"]
    assert (hook["would_send"], hook["condition"]) == (True, None)
    assert hook["waits_for"].startswith("The channel is disabled")


async def test_a_topic_that_leads_nowhere_says_so(sales: Client) -> None:
    await sales.call("PATCH", "/v1/topics/sales", {"enabled": False})
    answer = await explained(sales, priority=1)
    assert (answer["status"], answer["enabled"]) == ("no_route", False)
    whys = {one["why_not"] for one in answer["channels"]}
    assert whys == {"The topic sales is disabled."}
    await sales.call("PUT", "/v1/topics/sales", {"channels": []})
    assert (await explained(sales))["channels"] == []


async def test_a_plugin_that_is_gone_or_not_set_up_says_so(sales: Client) -> None:
    bare = {"name": "bare", "plugin": "Slack"}
    assert (await sales.post("/v1/channels", bare)).status == 201
    await sales.call("PATCH", "/v1/topics/sales", {"channels": ["bare", "log"]})
    await changed(sales, "UPDATE channel SET plugin = 'Lag' WHERE name = 'log'")
    bare, log = (await explained(sales))["channels"]
    assert bare["content"]["error"].startswith("The settings of Slack are wrong.")
    assert (bare["content"]["parts"], bare["plugin"]["broken"]) == (None, False)
    assert log["plugin"] == {
        "name": "Lag",
        "qualified_name": None,
        "source": None,
        "revision": None,
        "broken": True,
        "error": "There is no plugin 'Lag'; did you mean Log?",
    }
    assert log["content"]["error"] == log["plugin"]["error"]
