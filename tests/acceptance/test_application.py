"""The layers before the routes: they accept messages without them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from almenara.api import documented
from almenara.app import build
from tests.acceptance.test_raw_sockets import LENGTH, opened, post
from tests.serving import Client, make_settings, served

MESSAGE = {"topic": "hello", "description": "x"}
#: No other test's application takes bodies of this size, so that this one is made anew.
OWN_SIZE = 123_457


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with served(make_settings(tmp_path)) as one:
        yield one


async def talk(client: Client, raw: bytes) -> bytes:
    """Send bytes, and return what comes back until the server hangs up."""
    reader, writer = await opened(client)
    writer.write(raw)
    async with asyncio.timeout(10):
        said = await reader.read(-1)
    writer.close()
    return said


async def test_messages_are_accepted_before_the_routes_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, go_on, make = [], threading.Event(), documented.documented

    def slowly(**options: Any) -> FastAPI:
        made.append(options["largest"])
        assert go_on.wait(30)
        return make(**options)

    monkeypatch.setattr(documented, "documented", slowly)
    async with served(make_settings(tmp_path, max_body_bytes=OWN_SIZE)) as client:
        reads = [asyncio.create_task(client.get("/v1/messages")) for _ in range(3)]
        accepted = [await client.post("/v1/messages", MESSAGE) for _ in range(3)]
        assert [one.status for one in accepted] == [202] * 3
        assert not any(one.done() for one in reads)
        go_on.set()
        answers = [await one for one in reads]
    assert [len(one.body["data"]) for one in answers] == [3] * 3
    assert made == [OWN_SIZE]


async def test_who_leaves_while_the_routes_are_made_keeps_nobody_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, make = threading.Event(), documented.documented
    monkeypatch.setattr(
        documented, "documented", lambda **options: make(**options) if go_on.wait(30) else None
    )
    async with served(make_settings(tmp_path, max_body_bytes=OWN_SIZE + 1)) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get("/healthz"), 0.2)
        go_on.set()
        assert (await client.get("/healthz")).status == 200


async def test_what_breaks_in_a_layer_is_a_problem(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise ZeroDivisionError("the secret")

    monkeypatch.setattr("almenara.api.direct._read_headers", break_down)
    answer = await client.post("/v1/messages", MESSAGE)
    assert (answer.status, answer.body["code"]) == (500, "internal_error")
    assert "secret" not in answer.text


async def test_what_breaks_in_a_route_is_told_of_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        "almenara.api.errors.log", SimpleNamespace(error=lambda event, **_: told.append(event))
    )
    monkeypatch.setattr(type(client.parts.log), "messages", lambda *_, **__: 1 // 0)
    answer = await client.get("/v1/messages")
    assert (answer.status, answer.body["code"]) == (500, "internal_error")
    assert told == ["request_broken"]


async def test_routes_that_could_not_be_made_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, make = [], documented.documented

    def fail_first(**options: Any) -> FastAPI:
        made.append(options)
        if len(made) == 1:
            raise ImportError("cut short")
        return make(**options)

    monkeypatch.setattr(documented, "documented", fail_first)
    async with served(make_settings(tmp_path, max_body_bytes=OWN_SIZE + 2)) as client:
        assert (await client.get("/healthz")).body["code"] == "internal_error"
        assert (await client.post("/v1/messages", MESSAGE)).status == 202
        assert (await client.get("/healthz")).status == 200


def test_the_description_needs_no_server(tmp_path: Path) -> None:
    assert "/v1/messages" in build(make_settings(tmp_path)).openapi()["paths"]


async def test_an_answer_ends_its_connection_where_the_client_asks_for_it(
    client: Client,
) -> None:
    whole = post(LENGTH[:-2], b"Connection: close")
    old = whole.replace(b"HTTP/1.1", b"HTTP/1.0")
    for request in (whole, old):
        said = await talk(client, request + post(LENGTH[:-2]))
        head, body = said.split(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 202 ")
        assert head.count(b"\r\nconnection: close") == 1
        assert json.loads(body)["topic"] == "hello"


async def test_answers_keep_their_order(client: Client) -> None:
    topics = [f"hello{' ' * number}" for number in range(1, 4)]
    bodies = [json.dumps(MESSAGE | {"topic": one, "reference": one}).encode() for one in topics]
    said = await talk(
        client,
        b"".join(post(b"Content-Length: %d" % len(one), body=one) for one in bodies)
        + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    references = [said.index(f'"reference":"{one}"'.encode()) for one in topics]
    assert references == sorted(references)
    assert said.index(b'"ok"') > references[-1]


async def test_a_client_that_waits_for_a_hundred_gets_it_first(client: Client) -> None:
    said = await talk(client, post(LENGTH[:-2], b"Expect: 100-continue", b"Connection: close"))
    assert [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]] == [b"100", b"202"]
