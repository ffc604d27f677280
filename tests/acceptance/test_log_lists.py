"""The lists of the log: filters, cursors, the search for text; over both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pytest

from almenara import log
from almenara.settings import Settings
from tests.plugins.author import Author
from tests.serving import Client, served


@pytest.fixture
def author(settings: Settings) -> Author:
    return Author(settings.plugins_dir)


@pytest.fixture
async def client(settings: Settings, author: Author) -> AsyncIterator[Client]:
    async with served(settings) as one:
        channel = {"name": "told", "plugin": "Told", "retry_schedule": []}
        await one.post("/v1/channels", channel)
        await one.post("/v1/topics", {"name": "sales", "channels": ["told", "log"]})
        yield one


async def tell(client: Client, description: str = "x", **fields: Any) -> str:
    body = {"description": description} | (fields or {"topic": "hello"})
    accepted = await client.post("/v1/messages", body)
    assert accepted.status == 202, accepted.text
    identifier: str = accepted.body["id"]
    return identifier


async def told(client: Client, description: str, **fields: Any) -> str:
    """Hand a message in and wait until nothing of it waits."""
    identifier = await tell(client, description, **fields)
    await client.final(identifier)
    return identifier


async def ids(client: Client, kind: str = "messages", **filters: str) -> list[str]:
    listed = await client.get(f"/v1/{kind}", params=filters)
    assert listed.status == 200, listed.text
    return [one["id"] for one in listed.body["data"]]


def joined(found: list[list[str]]) -> list[str]:
    return list(chain.from_iterable(found))


async def pages(client: Client, path: str, **filters: str) -> list[list[str]]:
    """Follow the cursors of a list to its end."""
    found: list[list[str]] = []
    while True:
        page = (await client.get(path, params=filters)).body
        found.append([one["id"] for one in page["data"]])
        if page["next_cursor"] is None:
            return found
        filters["cursor"] = page["next_cursor"]


async def test_a_new_log_is_empty(client: Client) -> None:
    for kind in ("messages", "deliveries"):
        assert (await client.get(f"/v1/{kind}")).body == {"data": [], "next_cursor": None}


async def test_messages_are_filtered_by_each_of_their_words(client: Client) -> None:
    sent = await told(client, "fine", topic="sales", reference="order-7")
    partial = await told(client, "permanent", topic="sales")
    direct = await told(client, "fine", channel="log")
    kept = await told(client, "fine", topic="sales", channel="log", reference="Order-7")
    hello = await told(client, "fine", topic="hello")
    assert await ids(client) == [hello, kept, direct, partial, sent]
    assert await ids(client, topic="SALES") == [kept, partial, sent]
    assert await ids(client, channel="Told") == [partial, sent]
    assert await ids(client, channel="log") == [hello, kept, direct, partial, sent]
    assert await ids(client, status="partial") == [partial]
    assert await ids(client, status="held") == []
    assert await ids(client, reference="order-7") == [sent]
    assert await ids(client, topic="sales", channel="told", status="sent") == [sent]
    assert await ids(client, topic="nowhere") == []
    # Sent again through a channel twice over, a message is still one row.
    await client.post(f"/v1/messages/{sent}/resend?sent_too=true")
    await client.final(sent)
    assert await ids(client, channel="told") == [partial, sent]


async def test_deliveries_are_filtered_by_each_of_their_words(client: Client) -> None:
    story = await client.final(await told(client, "permanent", topic="sales"))
    failed, sent = (one["id"] for one in story["deliveries"])
    [direct] = (await client.final(await told(client, "fine", channel="told")))["deliveries"]
    assert await ids(client, "deliveries") == [direct["id"], sent, failed]
    assert await ids(client, "deliveries", channel="TOLD") == [direct["id"], failed]
    assert await ids(client, "deliveries", topic="Sales") == [sent, failed]
    assert await ids(client, "deliveries", status="sent") == [direct["id"], sent]
    assert await ids(client, "deliveries", reason="permanent") == [failed]
    assert await ids(client, "deliveries", reason="operator") == []
    [row] = (await client.get("/v1/deliveries?reason=permanent")).body["data"]
    shown = (await client.get(f"/v1/deliveries/{failed}")).body
    [attempt] = shown.pop("attempts")
    assert row == shown
    assert (attempt["outcome"], attempt["number"]) == ("permanent_error", 1)
    assert attempt["error"] == "The address does not exist."


async def test_a_span_of_time_begins_with_since_and_ends_before_until(client: Client) -> None:
    first = await tell(client)
    await asyncio.sleep(0.01)
    middle = datetime.now(UTC)
    await asyncio.sleep(0.01)
    second = await tell(client)
    for kind in ("messages", "deliveries"):
        everything = await ids(client, kind)
        assert await ids(client, kind, since=middle.isoformat()) == everything[:1]
        assert await ids(client, kind, until=middle.isoformat()) == everything[1:]
    # The same moment in another zone is the same moment.
    madrid = middle + timedelta(hours=1)
    text = madrid.replace(tzinfo=None).isoformat() + "+01:00"
    assert await ids(client, since=text) == [second]
    assert await ids(client, until=text) == [first]
    hour = timedelta(hours=1)
    late, early = (middle + hour).isoformat(), (middle - hour).isoformat()
    assert await ids(client, since=early, until=late) == [second, first]
    assert await ids(client, since=late) == []
    assert await ids(client, since="0001-01-01T00:00:00Z") == [second, first]
    assert await ids(client, until="9999-12-31T23:59:59Z") == [second, first]


async def test_cursors_give_each_row_once_newest_first_while_new_ones_arrive(
    client: Client,
) -> None:
    written = [await tell(client, f"number {number}") for number in range(11)]
    first = (await client.get("/v1/messages?limit=3")).body
    late = [await tell(client, "late") for _ in range(2)]
    rest = await pages(client, "/v1/messages", limit="3", cursor=first["next_cursor"])
    seen = [[one["id"] for one in first["data"]], *rest]
    assert [len(page) for page in seen] == [3, 3, 3, 2]
    assert joined(seen) == written[::-1]
    assert joined(await pages(client, "/v1/messages", limit="4")) == (written + late)[::-1]
    deliveries = joined(await pages(client, "/v1/deliveries", limit="5"))
    assert deliveries == await ids(client, "deliveries", limit="250")
    assert len(set(deliveries)) == 13


async def test_a_page_that_is_just_full_is_the_last(client: Client) -> None:
    written = [await tell(client) for _ in range(4)]
    assert await pages(client, "/v1/messages", limit="4") == [written[::-1]]
    assert [len(page) for page in await pages(client, "/v1/messages", limit="1")] == [1] * 4


async def test_a_cursor_goes_on_with_the_same_filters(client: Client) -> None:
    wanted = []
    for number in range(4):
        wanted.append(await tell(client, f"apple {number}", topic="sales", reference="r"))
        await tell(client, f"pear {number}")
    for filters in ({"topic": "sales"}, {"reference": "r"}, {"channel": "told"}, {"q": "apple"}):
        found = await pages(client, "/v1/messages", limit="3", **filters)
        assert found == [wanted[:0:-1], wanted[:1]], filters


async def test_a_search_finds_text_in_title_and_description_whatever_its_case(
    client: Client,
) -> None:
    title = await tell(client, "nothing", topic="hello", title="An Order came")
    text = await tell(client, "my ORDER of 100%_off\\ today")
    await tell(client, "my odder of 100 off today")
    for words, found in (
        ("order", [text, title]),
        ("oRdEr", [text, title]),
        ("ORDER CAME", [title]),
        ("100%", [text]),
        ("0%_o", [text]),
        ("%", [text]),
        ("_", [text]),
        ("\\", [text]),
        ("o__er", []),
        ("an%came", []),
        ("'", []),
    ):
        assert await ids(client, q=words) == found, words
    assert await ids(client, q="order", channel="log", topic="hello") == [text, title]


async def test_a_search_looks_at_so_many_rows_and_hands_back_where_it_stopped(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "SEARCHED_AT_MOST", 5)
    needles = [await tell(client, "a needle")]
    for number in range(11):
        await tell(client, f"hay {number}")
    needles.append(await tell(client, "a needle"))
    first = (await client.get("/v1/messages?q=needle")).body
    assert [one["id"] for one in first["data"]] == needles[1:]
    assert first["next_cursor"] is not None
    second = (await client.get(f"/v1/messages?q=needle&cursor={first['next_cursor']}")).body
    assert second["data"] == []
    assert second["next_cursor"] is not None
    found = await pages(client, "/v1/messages", q="needle")
    assert joined(found) == needles[::-1]
    assert (
        joined(await pages(client, "/v1/messages", q="hay", limit="2")) == (await ids(client))[1:-1]
    )


async def test_a_list_that_cannot_be_made_is_refused_and_the_word_is_named(
    client: Client,
) -> None:
    both = ["limit=0", "limit=251", "limit=x", "limit=1.5", "cursor=zzz", "cursor=%C3%A9"]
    both += ["cursor=" + "A" * 65, "status=nonsense", "since=2026-01-01T00:00:00", "since=soon"]
    both += [
        "until=2026-01-01",
        "until=0.5",
        "since=1764000000",
        "topic=%00",
        "channel=a%00b",
        "topic=" + "a" * 65,
    ]
    messages = [*both, "q=%00", "q=" + "a" * 256, "reference=%00"]
    deliveries = [*both, "reason=nonsense"]
    for kind, queries in (("messages", messages), ("deliveries", deliveries)):
        for query in queries:
            refused = await client.get(f"/v1/{kind}?{query}")
            assert (refused.status, refused.body["code"]) == (422, "invalid_input"), query
            [error] = refused.body["errors"]
            assert error["field"] == query.partition("=")[0], query
            assert error["message"], query
    # Bytes that are no text match nothing.
    for query in ("q=%ff", "topic=%ff%fe", "channel=%ff"):
        assert (await client.get(f"/v1/messages?{query}")).body["data"] == []
