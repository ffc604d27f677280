"""What a token allows: a scope for each route, and for a narrowed one its topics alone."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from almenara.app import build
from almenara.auth import Scope
from tests.serving import Client, make_settings, served
from tests.tokens import ISSUER, SECRET, bearer, token

#: What is answered without a token.
OPEN = {("GET", "/healthz"), ("GET", "/readyz")}

SEND, READ, MANAGE = "messages:send", "messages:read", "deliveries:manage"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    settings = make_settings(tmp_path, jwt_issuer=ISSUER, jwt_secret=SECRET)
    async with served(settings) as served_client:
        yield served_client


def by(**changes: Any) -> dict[str, Any]:
    return {"headers": bearer(token(**changes))}


def operations(tmp_path: Path) -> dict[tuple[str, str], list[str]]:
    """Return each operation of the API with the scopes that it asks for."""
    document = build(make_settings(tmp_path)).openapi()
    return {
        (method.upper(), path): [
            scope for one in operation.get("security", ()) for scope in one["token"]
        ]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_operation_asks_for_exactly_one_scope(tmp_path: Path) -> None:
    found = operations(tmp_path)
    assert {key for key, scopes in found.items() if not scopes} == OPEN
    assert all(len(set(scopes)) == 1 for key, scopes in found.items() if key not in OPEN)
    used = {scope for scopes in found.values() for scope in scopes} | {Scope.ADMIN.value}
    assert used == {one.value for one in Scope}


async def test_without_its_scope_an_operation_is_forbidden(client: Client, tmp_path: Path) -> None:
    # It would never come to its end.
    client.parts.stream.end()
    for (method, path), scopes in operations(tmp_path).items():
        if (method, path) in OPEN:
            continue
        [needed] = set(scopes)
        others = [one.value for one in Scope if one != needed]
        # What begins like the scope is not the scope.
        all_others = " ".join([*others, needed + "x", needed.upper(), needed[:-1]])
        url = re.sub(r"\{id\}", str(uuid4()), path.replace("{name}", "hello"))
        body = {} if method in {"POST", "PUT", "PATCH"} else None
        answer = await client.call(method, url, body, **by(scope=all_others))
        assert (answer.status, answer.body["code"]) == (403, "insufficient_scope"), (method, path)
        challenge = f'Bearer realm="almenara", error="insufficient_scope", scope="{needed}"'
        assert answer.headers["WWW-Authenticate"] == challenge
        answer = await client.call(method, url, body, **by(scope=needed))
        assert answer.status not in {401, 403}, (method, path)


async def test_the_description_of_the_api_needs_the_administrators_scope(client: Client) -> None:
    for path in ("/docs", "/openapi.json"):
        assert (await client.get(path, **by(scope="config:read"))).status == 403
        answer = await client.get(path, **by(scope="admin:read"))
        assert answer.status == 200
        assert "messages:send" in answer.text


async def test_a_message_names_whose_token_it_came_with(client: Client) -> None:
    accepted = await client.post(
        "/v1/messages", {"topic": "hello", "description": "x"}, **by(sub="the shop")
    )
    story = await client.get(f"/v1/messages/{accepted.body['id']}", **by())
    assert story.body["sender"] == "the shop"


async def test_the_keys_of_two_senders_do_not_meet(client: Client) -> None:
    ids = set()
    for subject in ("one", "two"):
        headers = bearer(token(sub=subject)) | {"Idempotency-Key": "same"}
        for _ in range(2):
            answer = await client.post(
                "/v1/messages",
                {"topic": "hello", "description": f"of {subject}"},
                headers=headers,
            )
            assert answer.status == 202
            ids.add(answer.body["id"])
    assert len(ids) == 2


NAMES = ("sales", "sales.eu", "sales.us", "salesman", "pricing", "hello")


async def furnish(client: Client) -> dict[str, str]:
    """Make topics, and send one message to each; return the messages' ids."""
    ids = {}
    for name in NAMES:
        await client.call("PUT", f"/v1/topics/{name}", {"channel": "log"}, **by())
        body = {"topic": name, "description": f"to {name}"}
        ids[name] = (await client.post("/v1/messages", body, **by())).body["id"]
    body = {"channel": "log", "description": "to a channel"}
    ids["a channel"] = (await client.post("/v1/messages", body, **by())).body["id"]
    return ids


PATTERNS: list[tuple[list[str], set[str]]] = [
    (["sales.*"], {"sales.eu", "sales.us"}),
    (["sales*"], {"sales", "sales.eu", "sales.us", "salesman"}),
    (["SALES"], {"sales"}),
    (["pricing", "sales.eu"], {"pricing", "sales.eu"}),
    (["*"], set(NAMES)),
    ([], set()),
    (["nothing"], set()),
]


async def test_a_narrowed_token_sends_to_its_topics_alone(client: Client) -> None:
    await furnish(client)
    for topics, allowed in PATTERNS:
        for name in (*NAMES, "unknown"):
            body = {"topic": name.upper(), "description": "x"}
            one = await client.post("/v1/messages", body, **by(topics=topics))
            path = f"/v1/topics/{name}/messages"
            other = await client.post(path, {"description": "x"}, **by(topics=topics))
            batch = await client.post(
                "/v1/messages/batch", {"messages": [body]}, **by(topics=topics)
            )
            statuses = [one.status, other.status, batch.body["data"][0]["status"]]
            # What there is beyond its topics is not told either.
            known = 202 if name in allowed else 403
            expected = 422 if name == "unknown" and topics == ["*"] else known
            assert statuses == [expected] * 3, (topics, name)
        for body in (
            {"channel": "log", "description": "x"},
            {"channel": "log", "topic": "sales.eu", "description": "x"},
        ):
            assert (await client.post("/v1/messages", body, **by(topics=topics))).status == 403


async def test_a_narrowed_token_sees_its_topics_alone(client: Client) -> None:
    ids = await furnish(client)
    for topics, allowed in PATTERNS:
        seen = by(topics=topics)
        listed = (await client.get("/v1/messages?limit=250", **seen)).body["data"]
        assert {one["topic"] for one in listed} == allowed
        deliveries = (await client.get("/v1/deliveries?limit=250", **seen)).body["data"]
        assert {one["message_id"] for one in deliveries} == {ids[name] for name in allowed}
        for name, message_id in ids.items():
            answer = await client.get(f"/v1/messages/{message_id}", **seen)
            assert answer.status == (200 if name in allowed else 404)
            if answer.status == 404:
                # Word for word what an id that was never given gets.
                assert answer.body["detail"] == f"There is no message '{message_id}'."


async def test_what_reaches_beyond_topics_is_not_for_a_narrowed_token(client: Client) -> None:
    await furnish(client)
    narrowed = by(topics=["*"])
    for method, path in (
        ("GET", "/v1/topics"),
        ("GET", "/v1/channels"),
        ("PUT", "/v1/topics/x"),
        ("DELETE", "/v1/channels/log"),
        ("POST", "/v1/channels/log/test"),
        ("POST", "/v1/channels/log/verify"),
        ("POST", "/v1/messages/explain"),
        ("GET", "/v1/replays"),
        ("POST", "/v1/replays"),
        ("GET", "/v1/plugins"),
        ("GET", "/docs"),
    ):
        body = {} if method in {"POST", "PUT"} else None
        if path.endswith("explain"):
            body = {"topic": "hello", "description": "x"}
        answer = await client.call(method, path, body, **narrowed)
        assert answer.status == 403, (path, answer.text)


async def test_nobody_reads_or_changes_what_is_not_theirs(client: Client) -> None:
    """A thousand random pairs of a token and a thing: the topics alone decide."""
    ids = await furnish(client)
    topic_of: dict[str, str] = {}
    deliveries: dict[str, str] = {}
    for name, message_id in ids.items():
        story = (await client.get(f"/v1/messages/{message_id}", **by())).body
        for one in story["deliveries"]:
            deliveries[one["id"]] = name
        topic_of[message_id] = name
    chance = random.Random(5)
    tokens = [(by(topics=topics), allowed) for topics, allowed in PATTERNS]
    for _ in range(1000):
        shown, allowed = chance.choice(tokens)
        kind, things, act = chance.choice(
            [
                ("messages", topic_of, chance.choice(["cancel", "resend", ""])),
                ("deliveries", deliveries, chance.choice(["cancel", "release", "resend", ""])),
            ]
        )
        thing, name = chance.choice(list(things.items()))
        path = f"/v1/{kind}/{thing}" + (f"/{act}" if act else "")
        answer = await client.call("POST" if act else "GET", path, **shown)
        if name in allowed:
            assert answer.status in {200, 202, 409}, path
        else:
            assert answer.status == 404, path


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_filters_and_cursors_stay_within_a_narrowed_token(
    tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_database")() if database == "postgres" else None
    settings = make_settings(tmp_path, url, jwt_issuer=ISSUER, jwt_secret=SECRET)
    async with served(settings) as client:
        await furnish(client)
        await client.call("PUT", "/v1/topics/sales_eu", {"channel": "log"}, **by())
        await client.post("/v1/messages", {"topic": "sales_eu", "description": "x"}, **by())
        # In LIKE, `_` and `%` would stand for anything.
        one = (await client.get("/v1/messages", **by(topics=["sales_*"]))).body["data"]
        assert {message["topic"] for message in one} == {"sales_eu"}
        narrowed = by(topics=["sales.*"])
        for query in ("topic=pricing", "channel=log&topic=hello", "q=pricing"):
            assert (await client.get(f"/v1/messages?{query}", **narrowed)).body["data"] == []
        found = (await client.get("/v1/messages?q=to", **narrowed)).body["data"]
        assert {message["topic"] for message in found} == {"sales.eu", "sales.us"}
        # A cursor of somebody who sees everything opens no more.
        wide = (await client.get("/v1/messages?limit=1", **by())).body["next_cursor"]
        after = (await client.get(f"/v1/messages?cursor={wide}", **narrowed)).body["data"]
        assert {message["topic"] for message in after} <= {"sales.eu", "sales.us"}
