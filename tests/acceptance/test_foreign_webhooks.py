"""Webhooks of senders that cannot be changed become messages; over both databases."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.api.body import check_value
from almenara.api.foreign import read_foreign
from almenara.api.message_bodies import KEY_PATTERN, MessageBody
from almenara.api.template_bodies import Sender
from almenara.templates import SENDERS, Reading, check_reading, translate
from tests.json_values import json_values
from tests.serving import Client

#: What the templates of the known senders look at.
KEYS = st.sampled_from(
    [
        *("action", "alerts", "amount", "annotations", "body", "comment", "commits", "currency"),
        *("commonLabels", "data", "groupLabels", "id", "issue", "labels", "message", "object"),
        *("pull_request", "ref", "release", "repository", "sender", "severity", "status", "title"),
        *("type", "url", "workflow_run"),
    ]
)
BODIES = Path(__file__).parent / "webhooks"
FULL = {
    "description": "{{ body.what }}",
    "title": "{{ headers['x-kind'] }}",
    "format": "markdown",
    "priority": "{{ body.level }}",
    "tags": ["{{ body.what }}", "monitor"],
    "reference": "{{ body.id }}",
    "key": "{{ body.id }}",
}


async def post(client: Client, path: str, body: Any, **headers: str) -> Any:
    """Post a body as some sender would; return the story of the message that it became."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    answer = await client.call("POST", f"/v1/topics/{path}", data=data, headers=headers)
    assert answer.status == 202, answer.text
    return (await client.get(f"/v1/messages/{answer.body['id']}")).body


@pytest.fixture
async def ops(client: Client) -> Client:
    """A client of a server whose topic ops takes what a monitor posts."""
    topic = {"name": "ops", "channels": ["log"], "accept": FULL}
    created = await client.post("/v1/topics", topic)
    assert (created.status, created.body["accept"]) == (201, FULL)
    return client


SAID = {
    "github-push": (
        "octo-org/hello: push",
        (
            "**ana** pushed 2 commits to `refs/heads/main`\n\n"
            "- [Fix the \\*roof\\*](https://github.com/octo-org/hello/commit/1)\n"
            "- [Add a door](https://github.com/octo-org/hello/commit/2)"
        ),
        3,
    ),
    "github-pull_request": (
        "octo-org/hello: pull_request opened",
        "**ana** pull request opened\n\n[#7 A door \\[new\\]](https://github.com/octo-org/hello/7)",
        3,
    ),
    "github-issue_comment": (
        "octo-org/hello: issue_comment created",
        (
            "**ana** issue comment created\n\n[#3 It rains in](https://github.com/octo-org/hello/3)\n\n"
            "I **see** it too"
        ),
        3,
    ),
    "github-workflow_run": (
        "octo-org/hello: workflow_run completed",
        "[CI](https://github.com/octo-org/hello/actions/runs/1): failure",
        2,
    ),
    "github-release": (
        "octo-org/hello: release published",
        "**ana** published [v1.0](https://github.com/octo-org/hello/releases/v1.0)",
        3,
    ),
    "github-ping": ("octo-org/hello: ping", "**ana** ping", 3),
    "grafana": (
        "[FIRING:1] HighCPU",
        (
            "**FIRING** HighCPU (critical) on db1\n\nCPU above 90 %\n\n"
            "[See it](https://grafana.example.org/d/1)"
        ),
        1,
    ),
    "alertmanager": (
        "[RESOLVED] DiskFull",
        (
            "**RESOLVED** DiskFull (warning) on a:9100\n\nThe disk is full\n\n"
            "[See it](http://prometheus.example.org/graph)\n\n"
            "**RESOLVED** DiskFull (warning) on b:9100\n\nThe disk is full"
        ),
        4,
    ),
    "stripe": (
        "Stripe: charge.succeeded",
        "**charge.succeeded** (test mode)\n\n20.50 EUR\n\ncharge `ch_3Pabc`: succeeded",
        3,
    ),
}


@pytest.mark.parametrize("name", SAID)
async def test_what_well_known_senders_post_is_understood(client: Client, name: str) -> None:
    sender, _, event = name.partition("-")
    body = json.loads((BODIES / f"{name}.json").read_bytes())
    headers = {"X_GitHub_Event": event, "X_GitHub_Delivery": "72d3162e"} if event else {}
    story = await post(client, f"hello/messages?template={sender}", body, **headers)
    assert (story["title"], story["description"], story["priority"]) == SAID[name]
    assert (story["format"], story["data"], story["metadata"]) == ("markdown", body, {})
    assert story["tags"][0] == sender


async def test_a_topic_takes_what_its_mapping_reads(ops: Client) -> None:
    body = {"what": "up", "level": 1, "id": "e-1"}
    story = await post(ops, "OPS/messages", body, x_kind="Monitor")
    assert story["title"] == "Monitor"
    assert (story["description"], story["format"], story["priority"]) == ("up", "markdown", 1)
    assert (story["tags"], story["reference"]) == (["up", "monitor"], "e-1")
    again = await post(ops, "ops/messages", body, x_kind="Monitor")
    assert again["id"] == story["id"]
    # A key of the sender's own goes before.
    third = await post(ops, "ops/messages", body, x_kind="Monitor", idempotency_key="mine")
    assert third["id"] != story["id"]
    # Whoever writes messages sends them as ever.
    plain = await ops.post("/v1/messages", {"topic": "ops", "description": "by hand"})
    assert plain.status == 202


async def test_no_body_is_lost_because_a_template_does_not_fit(ops: Client) -> None:
    story = await post(ops, "ops/messages", {"level": "high", "say": "hola ñ"})
    assert story["description"] == '{\n  "level": "high",\n  "say": "hola ñ"\n}'
    assert (story["format"], story["title"], story["priority"]) == ("text", None, 3)
    assert story["tags"] == ["monitor"]
    said = story["metadata"]["accept_errors"]
    assert [one.partition(":")[0] for one in said] == [
        "description",
        "title",
        "priority",
        "tags",
        "reference",
        "key",
    ]
    assert "the message has no `what`" in said[0]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b'["a", 1]', {"body": ["a", 1]}),
        (b'"text"', {"body": "text"}),
        (b"null", {"body": None}),
        (b'\xef\xbb\xbf{"bom": "\xc3\xb1"}', {"bom": "ñ"}),
        (b'{"a\\u0000b": "c\\u0000\\ud800"}', {"ab": "c?"}),
        (b'{"big": 12345678901234567890}', {"big": "12345678901234567890"}),
        (b'{"odd": [NaN, Infinity, 1e999]}', {"odd": [None, None, None]}),
        (b'{"twice": 1, "twice": 2}', {"twice": 2}),
        (b'{"latin": "\xf1"}', {"latin": "\ufffd"}),
    ],
)
async def test_any_json_is_taken_and_stored(client: Client, sent: bytes, stored: Any) -> None:
    story = await post(client, "hello/messages?template=json", sent, Content_Type="text/plain")
    assert story["data"] == stored


async def test_large_and_deep_bodies_are_taken(client: Client) -> None:
    # Longer than is read at once.
    many = {str(number): "x" * 50 for number in range(3_000)}
    story = await post(client, "hello/messages?template=json", many)
    assert story["data"] == many
    assert story["description"].endswith("…")
    deep = json.loads("[" * 60 + "1" + "]" * 60)
    story = await post(client, "hello/messages?template=json", deep)
    value, depth = story["data"]["body"], 0
    while isinstance(value, list):
        [value], depth = value, depth + 1
    # From there on it is the text of what was nested.
    assert (depth, json.loads(value)) == (30, json.loads("[" * 30 + "1" + "]" * 30))


@pytest.mark.parametrize(
    ("path", "sent", "refusal", "said"),
    [
        (
            "hello/messages?template=json",
            b"{",
            (400, "invalid_json"),
            "template can read nothing",
        ),
        ("hello/messages?template=json", b"", (400, "invalid_json"), "template can read nothing"),
        ("hello/messages?template=json", b"[" * 5_000, (400, "invalid_json"), "can read nothing"),
        ("hello/messages?template=none", b"{}", (422, "template_not_found"), "known: github, graf"),
        ("none/messages?template=json", b"{}", (422, "topic_not_found"), "There is no topic"),
        ("none/messages", b"{}", (422, "invalid_input"), "description"),
        ("hello/messages/explain?template=x", b"{}", (422, "template_not_found"), "known: github"),
    ],
)
async def test_what_cannot_be_taken_is_refused(
    client: Client, path: str, sent: bytes, refusal: tuple[int, str], said: str
) -> None:
    headers = {"Content-Type": "application/json"}
    refused = await client.call("POST", f"/v1/topics/{path}", data=sent, headers=headers)
    assert (refused.status, refused.body["code"]) == refusal
    assert said in refused.text


async def test_a_mapping_is_changed_shown_and_removed(ops: Client) -> None:
    changed = await ops.call("PATCH", "/v1/topics/ops", {"accept": "github"})
    assert (changed.status, changed.body["accept"]) == (200, "github")
    assert (await ops.get("/v1/topics/ops")).body["accept"] == "github"
    story = await post(ops, "ops/messages", {"zen": "Keep it simple."}, X_GitHub_Event="ping")
    assert story["title"] == "GitHub: ping"
    removed = await ops.call("PATCH", "/v1/topics/ops", {"accept": None})
    assert removed.body["accept"] is None
    refused = await ops.post("/v1/topics/ops/messages", {"zen": "x"})
    assert refused.status == 422


@pytest.mark.parametrize(
    ("accept", "field", "said"),
    [
        ("gitlab", "accept", "'github', 'grafana'"),
        ({"title": "{{ body. }}"}, "accept", "The template of title cannot be read: line 1"),
        ({"tags": ["{{ x() }}"]}, "accept", "The template of tags cannot be read: line 1: a call"),
        ({"titel": "x"}, "accept", "There is no field of this name"),
    ],
)
async def test_a_mapping_that_cannot_be_read_is_refused(
    client: Client, accept: Any, field: str, said: str
) -> None:
    body = {"channels": ["log"], "accept": accept}
    refused = await client.call("PUT", "/v1/topics/ops", body)
    assert refused.status == 422
    assert any(one["field"].startswith(field) for one in refused.body["errors"])
    assert said in refused.text


async def test_what_a_body_means_is_shown_before_anything_is_sent(ops: Client) -> None:
    body = {"what": "up", "level": 2, "id": "e-7"}
    headers = {"X-Kind": "Monitor"}
    shown = await ops.post("/v1/topics/ops/messages/explain", body, headers=headers)
    assert shown.status == 200, shown.text
    assert shown.body["message"] == {
        "title": "Monitor",
        "description": "up",
        "format": "markdown",
        "priority": 2,
        "tags": ["up", "monitor"],
        "reference": "e-7",
        "metadata": {},
        "attachments": [],
        "idempotency_key": "e-7",
    }
    assert shown.body["channels"][0]["would_send"] is True
    assert (await ops.get("/v1/messages")).body["data"] == []
    message = {"description": "A message as it is"}
    plain = await ops.post("/v1/topics/hello/messages/explain", message)
    assert plain.body["message"]["description"] == "A message as it is"


def test_every_sender_is_named_and_its_templates_can_be_read() -> None:
    assert set(get_args(Sender)) == set(SENDERS)
    for reading in SENDERS.values():
        check_reading(reading)


JSON = json_values(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    KEYS | st.text(max_size=9),
    max_leaves=25,
)
#: What a header may hold (RFC 9110, section 5.5); a request with more is none.
HEADERS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"))


@given(
    body=JSON,
    sender=st.sampled_from(sorted(SENDERS)),
    event=st.none() | st.sampled_from(["push", "ping", "release", "é"]) | HEADERS,
)
def test_any_json_of_any_sender_becomes_a_message_that_is_accepted(
    body: Any, sender: str, event: str | None
) -> None:
    value = read_foreign(json.dumps(body).encode())
    headers = {} if event is None else {"x-github-event": event, "x-github-delivery": event}
    made = translate(SENDERS[sender], value, headers)
    check_value(made.body["description"])
    MessageBody.model_validate(made.body)
    assert made.key is None or re.fullmatch(KEY_PATTERN, made.key)


def test_templates_see_no_header_that_proves_who_sends() -> None:
    headers = {
        "authorization": "a",
        "cookie": "b",
        "x-hub-signature-256": "c",
        "stripe-signature": "d",
        "x-gitlab-token": "e",
        "x-api-key": "f",
        "x-event": "shown",
    }
    reading = Reading("{% for name, value in headers|items %}{{ value }}{% endfor %}")
    assert translate(reading, {}, headers).body["description"] == "shown"


def test_a_key_that_no_header_can_hold_is_kept_as_its_hash() -> None:
    made = translate(Reading(key="{{ body.id }}"), {"id": "ñ" * 300}, {}).key
    assert made is not None
    assert len(made) == 64
    assert made == translate(Reading(key="{{ body.id }}"), {"id": "ñ" * 300}, {}).key
    assert translate(Reading(), {}, {}).key is None


def test_what_is_too_long_for_a_field_is_cut() -> None:
    long = "x" * 1_000
    reading = Reading(title=long, reference=long, tags=(long, *map(str, range(40))))
    body = translate(reading, {}, {}).body
    assert (len(body["title"]), len(body["reference"])) == (255, 255)
    assert (len(body["tags"]), len(body["tags"][0])) == (32, 64)
