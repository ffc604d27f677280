"""Templates of topics and channels over HTTP: written, previewed, sent; over both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from almenara.testing import FakeService
from tests.serving import Client

ORDER = {"number": 17, "amount": 99.5, "customer": {"name": "Ana <López>"}}
TITLE = "Order {{ data.number }}"
BODY = "{{ description }}\n\n**{{ data.customer.name }}** pays {{ data.amount|decimals }} EUR"


@pytest.fixture
async def receiver() -> AsyncIterator[FakeService]:
    with FakeService() as one:
        yield one


@pytest.fixture
async def shop(client: Client, receiver: FakeService) -> Client:
    """A client of a server whose topic sales goes to a webhook, in words of its own."""
    hook = {"name": "hook", "plugin": "Webhook", "settings": {"url": receiver.url}}
    assert (await client.post("/v1/channels", hook)).status == 201
    topic = {
        "name": "sales",
        "channels": ["hook"],
        "template": {"title": TITLE, "body": BODY, "format": "markdown"},
    }
    created = await client.post("/v1/topics", topic)
    assert created.status == 201, created.text
    assert created.body["template"] == topic["template"]
    return client


async def sent(client: Client, receiver: FakeService, **fields: Any) -> Any:
    """Send a message, and return what the receiver got of it."""
    body = {"topic": "sales", "description": "Thank *you*!", "data": ORDER} | fields
    accepted = await client.post("/v1/messages", body)
    assert accepted.status == 202, accepted.text
    story = await client.final(accepted.body["id"])
    assert story["status"] == "sent", story
    # What was accepted stays as it was received.
    assert (story["description"], story["title"]) == (body["description"], body.get("title"))
    return receiver.received[-1].json()


async def test_a_topic_words_its_messages(shop: Client, receiver: FakeService) -> None:
    got = await sent(shop, receiver, format="markdown")
    assert got["title"] == "Order 17"
    assert got["description"] == "Thank *you*!\n\n**Ana \\<López\\>** pays 99.50 EUR"
    assert (got["format"], got["data"]) == ("markdown", ORDER)


async def test_a_text_is_written_in_the_format_of_the_template(
    shop: Client, receiver: FakeService
) -> None:
    assert (await sent(shop, receiver))["description"].startswith(r"Thank \*you\*!")
    words = {"body": "<p>{{ description }}</p>{{ data.customer.name }}", "format": "html"}
    assert (await shop.call("PATCH", "/v1/topics/sales", {"template": words})).status == 200
    got = await sent(shop, receiver, description="a < b\nc")
    assert got["description"] == "<p>a &lt; b<br>\nc</p>Ana &lt;López&gt;"
    got = await sent(shop, receiver, description="**a**\n\n```\nx\ny\n```", format="markdown")
    assert "<b>a</b><br>" in got["description"]
    assert "<pre>x\ny</pre>" in got["description"]
    got = await sent(shop, receiver, description="<i>a</i>", format="html")
    assert got["description"] == "<p><i>a</i></p>Ana &lt;López&gt;"
    words = {"body": "{{ description }}", "format": "text"}
    assert (await shop.call("PATCH", "/v1/topics/sales", {"template": words})).status == 200
    got = await sent(shop, receiver, description="<i>a</i>", format="html")
    assert (got["description"], got["format"]) == ("a", "text")


async def test_a_channel_goes_before_its_topic_part_by_part(
    shop: Client, receiver: FakeService
) -> None:
    words = {"template": {"body": "Only {{ data.number }} on {{ channel }} of {{ topic }}"}}
    changed = await shop.call("PATCH", "/v1/channels/hook", words)
    assert changed.body["template"] == words["template"] | {"format": "text"}
    got = await sent(shop, receiver)
    assert (got["title"], got["description"]) == ("Order 17", "Only 17 on hook of sales")
    removed = await shop.call("PATCH", "/v1/channels/hook", {"template": None})
    assert removed.body["template"] is None
    assert (await sent(shop, receiver))["title"] == "Order 17"
    assert (await shop.call("PATCH", "/v1/topics/sales", {"template": None})).status == 200
    got = await sent(shop, receiver, title="Mine")
    assert (got["title"], got["description"]) == ("Mine", "Thank *you*!")


async def test_a_title_is_one_line_and_no_longer_than_a_title_may_be(
    shop: Client, receiver: FakeService
) -> None:
    words = {"title": "{{ data.long }}\n{{ data.long }}"}
    assert (await shop.call("PATCH", "/v1/topics/sales", {"template": words})).status == 200
    title = (await sent(shop, receiver, data={"long": "x" * 200}))["title"]
    assert title == "x" * 200 + " " + "x" * 53 + "…"
    assert (await sent(shop, receiver, data={"long": " "}))["title"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            {"body": "\n{{ data.street }}"},
            "The body template of the topic sales cannot be filled with this message: line 2: ",
        ),
        (
            {"body": "{{ data.street }}"},
            "has no `street`, and the template gives no default for it. Mend it with PATCH /v1",
        ),
        ({"title": "{{ data.customer / 2 }}"}, "The title template of the topic sales"),
        ({"body": "{% if false %}x{% endif %}"}, "it makes an empty text"),
        ({"body": "{% for a in description %}{{ data }}{% endfor %}"}, "more than 200,000"),
    ],
)
async def test_a_message_that_does_not_fit_fails_and_can_be_sent_again(
    shop: Client, receiver: FakeService, words: dict[str, str], said: str
) -> None:
    assert (await shop.call("PATCH", "/v1/topics/sales", {"template": words})).status == 200
    body = {"topic": "sales", "description": "x" * 5_000, "data": ORDER}
    explained = (await shop.post("/v1/messages/explain", body)).body
    assert said in explained["channels"][0]["content"]["error"]
    story = await shop.final((await shop.post("/v1/messages", body)).body["id"])
    [delivery] = story["deliveries"]
    assert (delivery["status"], delivery["reason"]) == ("failed", "permanent")
    assert said in delivery["attempts"][0]["error"]
    assert receiver.received == []
    # The channel is not at fault, and takes the next one.
    assert (await shop.get("/v1/channels/hook")).body["state"] == "active"
    assert (await shop.call("PATCH", "/v1/topics/sales", {"template": None})).status == 200
    again = await shop.post(f"/v1/messages/{story['id']}/resend")
    assert again.status == 202, again.text
    assert (await shop.final(story["id"]))["status"] == "sent"
    assert len(receiver.received) == 1


@pytest.mark.parametrize("address", ["/v1/topics/sales", "/v1/channels/hook"])
@pytest.mark.parametrize(
    ("words", "field", "said"),
    [
        ({"body": "a\n{{ data. }}"}, "template", "The body template cannot be read: line 2: "),
        ({"title": "{{ x() }}"}, "template", "The title template cannot be read: line 1: a call"),
        ({"format": "html"}, "template", "Write a title, a body, or both."),
        ({"body": ""}, "template.body", "at least 1 character"),
        ({"body": "x" * 10_001}, "template.body", "at most 10000 characters"),
        ({"body": "x", "format": "rtf"}, "template.format", "'text', 'markdown' or 'html'"),
        ({"text": "x"}, "template.text", "There is no field of this name."),
    ],
)
async def test_a_template_that_cannot_be_read_is_refused(
    shop: Client, address: str, words: dict[str, str], field: str, said: str
) -> None:
    refused = await shop.call("PATCH", address, {"template": words})
    assert refused.status == 422
    [error] = refused.body["errors"]
    assert error["field"] == field
    assert said in error["message"]


async def test_explaining_shows_the_words(shop: Client) -> None:
    body = {"topic": "sales", "description": "Thanks", "data": ORDER}
    explained = (await shop.post("/v1/messages/explain", body)).body
    assert r"Ana \\<L" in explained["channels"][0]["content"]["parts"]["body"]
    assert explained["message"]["description"] == "Thanks"
    to_channel = body | {"channel": "hook"}
    content = (await shop.post("/v1/messages/explain", to_channel)).body["channels"][0]["content"]
    assert "Order 17" in content["parts"]["body"]


async def test_the_audit_tells_of_templates(shop: Client) -> None:
    entries = (await shop.get("/v1/audit")).body["data"]
    [made] = [one for one in entries if one["object"].endswith("sales")]
    assert made["after"]["template"]["title"] == TITLE
