"""A plain message has a way of its own; its answer is the documented route's, byte for byte.

A query, which means nothing here, sends a request to the documented route.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from almenara.api.direct import Direct
from almenara.api.gate import PRINCIPAL
from almenara.auth import ANYBODY, Principal, Scope
from almenara.ledger import Ledger
from tests.acceptance.test_bad_input import (
    ALMOST_RIGHT,
    ANYTHING,
    FIELDS,
    HEADERS,
    JSON,
    RIGHT,
    UNREADABLE,
    VALUES,
    member,
    nested,
)
from tests.serving import Answer, Client, make_settings, served
from tests.tokens import ISSUER, SECRET, bearer, token

PLAIN = {"topic": "hello", "description": "x"}
#: What is different each time: ids and moments.
_OWN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[0-9:.]+Z"
)

GOOD: list[bytes] = [
    json.dumps(one).encode()
    for one in (
        PLAIN,
        PLAIN | {"topic": " Hello "},
        PLAIN | {"title": "Größe", "description": "日本 🎉", "tags": ["a", "b"], "priority": 1},
        PLAIN | {"data": {"a": [1, 2.5, None, {"b": True}]}, "metadata": {"k": "v"}},
        PLAIN | {"reference": "order 17", "format": "markdown", "collapse_key": "k"},
        {"channel": "log", "description": "x"},
        PLAIN | {"channel": "log"},
        PLAIN | {"send_at": None, "title": None},
        PLAIN | {"attachments": [{"name": "a.txt", "content": "aGVsbG8="}]},
        PLAIN | {"description": "x" * 60_000},
        PLAIN | {"description": "x" * 70_000},
    )
] + [nested(31), member('"data": {"a": 9007199254740991}')]

BODIES = [
    *GOOD,
    *(bad.body for bad in (*UNREADABLE, *VALUES)),
    *(json.dumps(PLAIN | {name: one}).encode() for name in FIELDS for one in FIELDS[name]),
    json.dumps({"description": 7, "priority": 9, "to": "x", "colour": 1}).encode(),
    json.dumps({f"field{number}": 1 for number in range(900)}).encode(),
]

KEYS: list[dict[str, str]] = [
    {"Idempotency-Key": one} for one in ("", " ", "k" * 255, "k" * 256, "é", "a\tb", "a, b")
]


def seen(answer: Answer) -> tuple[int, list[tuple[str, str]], str]:
    """What of an answer must be equal: everything but what is different each time."""
    headers = [(name, _OWN.sub("*", value)) for name, value in answer.headers.items()]
    return answer.status, [one for one in headers if one[0] != "Date"], _OWN.sub("*", answer.text)


async def both(client: Client, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    """Send a request both ways, and return the answer if they are one."""
    given_headers = JSON if headers is None else headers
    direct = await client.post("/v1/messages", data=body, headers=given_headers)
    documented = await client.post("/v1/messages?other", data=body, headers=given_headers)
    assert seen(direct) == seen(documented), body[:200]
    return direct


async def test_every_answer_is_that_of_the_documented_route(client: Client) -> None:
    for body in BODIES:
        await both(client, body)


async def test_it_is_with_every_header_too(client: Client) -> None:
    body = member('"title": "t"')
    for headers, _ in HEADERS:
        await both(client, body, {name: value for name, value in headers.items() if value})
    for key in KEYS:
        first = await client.post("/v1/messages", data=body, headers=JSON | key)
        if first.status == 202:
            await client.final(first.body["id"])
        await both(client, body, JSON | key)


async def test_a_repeated_key_is_answered_alike(client: Client) -> None:
    body, headers = member('"title": "t"'), JSON | {"Idempotency-Key": "one"}
    first = await client.post("/v1/messages", data=body, headers=headers)
    await client.final(first.body["id"])
    again = await both(client, body, headers)
    assert (again.body["duplicate"], again.body["id"]) == (True, first.body["id"])
    other = await both(client, member('"title": "u"'), headers)
    assert other.body["code"] == "key_reused"


@hypothesis_settings(
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=RIGHT | ALMOST_RIGHT | ANYTHING)
async def test_whatever_is_sent_is_answered_alike(client: Client, body: Any) -> None:
    await both(client, json.dumps(body).encode())


async def test_what_could_not_be_stored_is_answered_alike(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ledger, "running", False)
    answer = await both(client, member('"title": "t"'))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_what_a_token_does_not_allow_is_answered_alike(tmp_path: Path) -> None:
    async with served(make_settings(tmp_path, jwt_issuer=ISSUER, jwt_secret=SECRET)) as client:
        for claims in (
            {"scope": "messages:send"},
            {"scope": "messages:read"},
            {"scope": "messages:send", "topics": ["hello"]},
            {"scope": "messages:send", "topics": ["other"]},
        ):
            headers = JSON | bearer(token(**claims))
            for body in (GOOD[0], GOOD[5], UNREADABLE[0].body, VALUES[0].body):
                await both(client, body, headers)


async def test_what_is_plain_and_right_goes_no_other_way(client: Client) -> None:
    went_on = [await went_other_way(client, body) for body in GOOD]
    # The large one alone.
    assert went_on == [len(body) > 65_536 for body in GOOD]
    assert not await went_other_way(client, GOOD[0], key=b"k" * 255)
    unknown = json.dumps(PLAIN | {"topic": "hallo"}).encode()
    assert not await went_other_way(client, unknown)


async def test_what_is_refused_before_anything_is_stored_goes_on_with_its_whole_body(
    client: Client,
) -> None:
    wrong = [bad.body for bad in (*UNREADABLE, *VALUES) if bad.code != "topic_not_found"]
    for body in (one for one in wrong if b'"lag"' not in one):
        assert await went_other_way(client, body), body[:200]
    assert await went_other_way(client, GOOD[0], scopes=frozenset({Scope.READ}))
    assert await went_other_way(client, GOOD[0], key=b"k" * 256)
    assert await went_other_way(client, GOOD[0], hangs_up=True)


async def went_other_way(
    client: Client,
    body: bytes,
    *,
    key: bytes | None = None,
    scopes: frozenset[Scope] = ANYBODY.scopes,
    hangs_up: bool = False,
) -> bool:
    """Tell whether a request went on to the documented route; its body must be whole there."""
    sent = [
        {"type": "http.request", "body": body[:10], "more_body": True},
        {"type": "http.disconnect"}
        if hangs_up
        else {"type": "http.request", "body": body[10:], "more_body": False},
    ]
    left, answers, went_on = iter(sent), [], []

    async def receive() -> Any:
        return next(left)

    async def send(message: Any) -> None:
        answers.append(message)

    async def documented(_scope: Any, received: Any, _send: Any) -> None:
        went_on.append([await received() for _ in sent])

    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if key is not None:
        headers.append((b"idempotency-key", key))
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/messages",
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "app": SimpleNamespace(state=SimpleNamespace(parts=client.parts)),
        PRINCIPAL: Principal(None, scopes),
    }
    await Direct(documented, largest=262_144)(scope, receive, send)
    assert went_on in ([], [sent])
    assert bool(answers) != bool(went_on)
    return bool(went_on)
