"""Messages over HTTP: addressed, stored as they were received, scheduled; over both databases."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from almenara.settings import Settings
from tests.plugins.author import Author
from tests.serving import Client, served

EVERY_FIELD: dict[str, Any] = {
    "topic": "sales",
    "title": "A question",
    "description": "I need help with my plan\n\tand more",
    "format": "markdown",
    "priority": 1,
    "tags": ["vip", "spanish"],
    "data": {"order": {"id": 9007199254740991, "lines": [1.5, None, True, "x"]}, "": {}},
    "to": ["ann@example.com", "+34 600 000 000"],
    "reference": "order-7",
    "metadata": {"trace": ["a", {"b": -0.25}]},
}

#: Texts that other software stumbles over; each must come back as it went in.
TEXTS = (
    "' OR 1=1; DROP TABLE message; --",
    "<script>alert(1)</script>",
    "{{ 7 * 7 }} ${7*7} %(x)s %s {0}",
    "a\r\nBcc: b@example.com",
    "\u0001\u001b[31m\u007f\u0085",
    "\u202eevil\u200b\ufeff",
    "e\u0301 is not \u00e9",
    "\U0001f469\u200d\U0001f4bb \U0010ffff \ufffe",
    "../../../etc/passwd",
    '\\u0000 " \\',
    "  blanks around  ",
)


class Clock:
    """The present moment, which can be moved on."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def author(settings: Settings) -> Author:
    return Author(settings.plugins_dir)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(settings: Settings, author: Author, clock: Clock) -> AsyncIterator[Client]:
    async with served(settings, clock=clock) as one:
        await one.post("/v1/channels", {"name": "out", "plugin": "Sink"})
        await one.post("/v1/topics", {"name": "sales", "channel": "out"})
        yield one


async def tell(client: Client, body: Any, path: str = "/v1/messages") -> Any:
    accepted = await client.post(path, body)
    assert accepted.status == 202, accepted.text
    assert accepted.headers["Location"] == f"/v1/messages/{accepted.body['id']}"
    return accepted.body


async def test_every_field_is_stored_and_given_back_as_it_was_received(client: Client) -> None:
    accepted = await tell(client, EVERY_FIELD)
    assert (accepted["topic"], accepted["reference"]) == ("sales", "order-7")
    assert accepted["duplicate"] is False
    story = await client.final(accepted["id"])
    assert {name: story[name] for name in EVERY_FIELD} == EVERY_FIELD
    assert story["send_at"] is None
    assert story["created_at"] == accepted["created_at"]
    [listed] = (await client.get("/v1/messages")).body["data"]
    deliveries, timeline = story.pop("deliveries"), story.pop("timeline")
    assert listed == story
    assert (timeline[0]["event"], timeline[-1]["event"]) == ("accepted", "finished")
    assert [one["id"] for one in deliveries] == [one["id"] for one in accepted["deliveries"]]


async def test_difficult_texts_come_back_as_they_went_in(client: Client, author: Author) -> None:
    for text in TEXTS:
        body = {
            "topic": "sales",
            "title": text,
            "description": text,
            "tags": [text],
            "to": [text],
            "reference": text,
            "data": {text: [text]},
            "metadata": {text: {text: text}},
        }
        accepted = await tell(client, body)
        story = await client.final(accepted["id"])
        assert story["status"] == "sent", text
        assert {name: story[name] for name in body} == body, text
        [found] = (await client.get("/v1/messages", params={"reference": text})).body["data"]
        assert found["id"] == accepted["id"]
    assert sorted(one["description"] for one in author.traces()) == sorted(TEXTS)


async def test_the_largest_values_are_taken(client: Client) -> None:
    body = {
        "topic": "sales",
        "title": "t" * 255,
        "description": "\u20ac" * 30_000,
        "tags": ["t" * 64] * 32,
        "to": ["t" * 320] * 100,
        "reference": "\U0001f469" * 255,
        "data": {"deep": json.loads("[" * 30 + "]" * 30), "low": -(2**53 - 1)},
        "metadata": {"many": list(range(800))},
    }
    story = await client.final((await tell(client, body))["id"])
    assert {name: story[name] for name in body} == body


async def test_a_message_without_anything_else_has_the_defaults(client: Client) -> None:
    accepted = await tell(client, {"topic": "sales", "description": "hello"})
    story = await client.final(accepted["id"])
    assert (story["title"], story["format"], story["priority"]) == (None, "text", 3)
    assert (story["tags"], story["data"], story["to"], story["metadata"]) == ([], {}, [], {})


async def test_a_topic_is_found_in_any_case_and_may_stand_in_the_path(client: Client) -> None:
    for name in ("SALES", " sales ", "Sales"):
        accepted = await tell(client, {"topic": name, "description": "x"})
        assert accepted["topic"] == "sales"
    accepted = await tell(client, {"description": "x"}, "/v1/topics/SALES/messages")
    assert accepted["topic"] == "sales"
    assert [one["channel"] for one in accepted["deliveries"]] == ["out"]
    unknown = await client.post("/v1/topics/nowhere/messages", {"description": "x"})
    assert (unknown.status, unknown.body["code"]) == (422, "topic_not_found")
    twice = await client.post("/v1/topics/sales/messages", {"topic": "x", "description": "x"})
    assert (twice.status, twice.body["errors"][0]["field"]) == (422, "topic")


async def test_a_channel_may_be_addressed_directly(client: Client) -> None:
    accepted = await tell(client, {"channel": "Log", "description": "x"})
    assert accepted["topic"] is None
    assert [one["channel"] for one in accepted["deliveries"]] == ["log"]
    story = await client.final(accepted["id"])
    assert (story["topic"], story["status"]) == (None, "sent")


async def test_with_a_topic_and_a_channel_the_channel_wins_and_the_topic_is_kept(
    client: Client,
) -> None:
    for topic, kept in (("Sales", "sales"), ("No.Such-topic", "no.such-topic")):
        body = {"topic": topic, "channel": "log", "description": "x"}
        accepted = await tell(client, body)
        assert accepted["topic"] == kept
        assert [one["channel"] for one in accepted["deliveries"]] == ["log"]
    # A topic that nobody looks up must be a name all the same.
    for topic in (" ", "a b", "\u0130" * 64, "a\n"):
        body = {"topic": topic, "channel": "log", "description": "x"}
        refused = await client.post("/v1/messages", body)
        if topic == "a\n":
            assert (refused.status, refused.body["topic"]) == (202, "a")
        else:
            assert (refused.status, refused.body["errors"][0]["field"]) == (422, "topic")


async def test_each_message_of_a_batch_is_answered_on_its_own(client: Client) -> None:
    deep = json.loads("[" * 40 + "]" * 40)
    items: list[tuple[Any, int, str | None]] = [
        ({"topic": "sales", "description": "first"}, 202, None),
        ({"topic": "nowhere", "description": "x"}, 422, "topic"),
        ({"topic": "sales"}, 422, "description"),
        ("not an object", 422, ""),
        ({"description": "x"}, 422, "topic"),
        ({"topic": "sales", "description": "a\x00b"}, 422, "description"),
        ({"topic": "sales", "description": "x", "data": {"deep": deep}}, 422, None),
        ({"topic": "sales", "description": "x", "colour": 1}, 422, "colour"),
        ({"channel": "log", "description": "last"}, 202, None),
    ]
    answer = await client.post("/v1/messages/batch", {"messages": [one[0] for one in items]})
    assert answer.status == 200
    assert len(answer.body["data"]) == len(items)
    for item, (_, status, field) in zip(answer.body["data"], items, strict=True):
        assert item["status"] == status
        assert (item["problem"] is None) is (status == 202)
        if status == 422:
            assert item["problem"].keys() == {"type", "title", "status", "detail", "code", "errors"}
            assert field is None or item["problem"]["errors"][0]["field"] == field
    listed = (await client.get("/v1/messages")).body["data"]
    assert [one["description"] for one in listed] == ["last", "first"]
    first = answer.body["data"][0]["message"]
    assert (await client.final(first["id"]))["status"] == "sent"


async def test_a_batch_has_from_one_to_a_hundred_messages(client: Client) -> None:
    item = {"topic": "sales", "description": "x" * 20, "data": dict.fromkeys("abcdefghijkl", 1)}
    full = await client.post("/v1/messages/batch", {"messages": [item] * 100})
    assert [one["status"] for one in full.body["data"]] == [202] * 100
    ids = [one["message"]["id"] for one in full.body["data"]]
    assert ids == sorted(set(ids))
    for messages in ([], [item] * 101, "x", None):
        refused = await client.post("/v1/messages/batch", {"messages": messages})
        assert (refused.status, refused.body["errors"][0]["field"]) == (422, "messages")
    assert len((await client.get("/v1/messages?limit=250")).body["data"]) == 100


async def test_a_scheduled_message_is_sent_when_its_time_comes_and_not_before(
    client: Client, clock: Clock, author: Author
) -> None:
    at = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    text = at.astimezone().isoformat().replace("+00:00", "Z")
    accepted = await tell(client, {"topic": "sales", "description": "later", "send_at": text})
    assert accepted["status"] == "scheduled"
    # What is due is found, so this was looked at and left.
    await client.final((await tell(client, {"topic": "sales", "description": "now"}))["id"])
    story = (await client.get(f"/v1/messages/{accepted['id']}")).body
    assert (story["status"], story["deliveries"][0]["status"]) == ("scheduled", "pending")
    assert datetime.fromisoformat(story["send_at"]) == at
    assert datetime.fromisoformat(story["deliveries"][0]["due_at"]) == at
    assert [one["description"] for one in author.traces()] == ["now"]
    clock.ahead = timedelta(hours=2, minutes=1)
    assert (await client.final(accepted["id"]))["status"] == "sent"
    assert [one["description"] for one in author.traces()] == ["now", "later"]


async def test_a_time_that_cannot_be_kept_is_refused(client: Client) -> None:
    now = datetime.now(UTC)
    for wrong in (
        (now - timedelta(seconds=1)).isoformat(),
        (now + timedelta(days=367)).isoformat(),
        (now + timedelta(hours=1)).replace(tzinfo=None).isoformat(),
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        "2026-02-30T00:00:00Z",
        "tomorrow",
        "",
        str(int(now.timestamp()) + 3600),
        int(now.timestamp()) + 3600,
        True,
        ["2026-11-23T22:00:00Z"],
    ):
        body = {"topic": "sales", "description": "x", "send_at": wrong}
        refused = await client.post("/v1/messages", body)
        assert (refused.status, refused.body["errors"][0]["field"]) == (422, "send_at"), wrong
    assert (await client.get("/v1/messages")).body["data"] == []


async def test_a_message_or_delivery_that_is_not_there_is_not_found(client: Client) -> None:
    nobody = "01a20ab6-0690-72a5-9002-0c81df64d4e9"
    for identifier in (nobody, "x", "1" * 200, "-1", "%00", "9223372036854775808", "..%2f"):
        for kind, actions in (
            ("messages", ("cancel", "resend")),
            ("deliveries", ("cancel", "release", "resend")),
        ):
            shown = await client.get(f"/v1/{kind}/{identifier}")
            assert (shown.status, shown.body["code"]) == (404, "not_found"), identifier
            for action in actions:
                answer = await client.post(f"/v1/{kind}/{identifier}/{action}")
                assert (answer.status, answer.body["code"]) == (404, "not_found"), identifier
