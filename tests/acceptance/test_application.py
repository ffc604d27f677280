"""The layers before the routes: they accept without them, and write an answer in one step."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from almenara.api import routes
from almenara.api.answering import WHOLE, Cycle, Gathering
from almenara.app import build
from tests.acceptance.test_raw_sockets import BODY, LENGTH, opened, post
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
    made, go_on, make = [], threading.Event(), routes.documented

    def slowly(**options: Any) -> FastAPI:
        made.append(options["largest"])
        assert go_on.wait(30)
        return make(**options)

    monkeypatch.setattr(routes, "documented", slowly)
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
    go_on, make = threading.Event(), routes.documented
    monkeypatch.setattr(
        routes, "documented", lambda **options: make(**options) if go_on.wait(30) else None
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


def test_the_description_needs_no_server(tmp_path: Path) -> None:
    assert "/v1/messages" in build(make_settings(tmp_path)).openapi()["paths"]


async def test_a_whole_answer_ends_its_connection_where_the_client_asks_for_it(
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


async def test_whole_answers_keep_their_order(client: Client) -> None:
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


class Line:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True


def cycle_on(line: Line, **values: Any) -> Cycle:
    """A cycle whose answer goes to a line."""
    cycle = Cycle.__new__(Cycle)
    flow = type("Flow", (), {"write_paused": False})()
    defaults = {
        "flow": flow,
        "disconnected": False,
        "keep_alive": True,
        "default_headers": [(b"date", b"now")],
        "response_started": False,
        "response_complete": False,
        "message_event": asyncio.Event(),
        "transport": Gathering(line, asyncio.get_running_loop()),  # type: ignore[arg-type]  # as much as is used
        "on_response": lambda: None,
    }
    vars(cycle).update(defaults | values)
    return cycle


def start(*headers: tuple[bytes, bytes]) -> Any:
    return {"type": "http.response.start", "status": 202, "headers": [*headers], WHOLE: b"{}"}


async def test_a_whole_answer_is_written_once() -> None:
    line = Line()
    await cycle_on(line).send(start((b"content-length", b"2")))
    assert line.written == [b"HTTP/1.1 202 Accepted\r\ndate: now\r\ncontent-length: 2\r\n\r\n{}"]
    assert not line.closed


async def test_nothing_is_written_to_whoever_has_hung_up() -> None:
    line = Line()
    await cycle_on(line, disconnected=True).send(start())
    assert line.written == []


async def test_a_whole_answer_waits_until_the_client_reads() -> None:
    line, read = Line(), asyncio.Event()
    flow = type("Flow", (), {"write_paused": True, "drain": staticmethod(read.wait)})()
    sending = asyncio.create_task(cycle_on(line, flow=flow).send(start()))
    await asyncio.sleep(0)
    assert line.written == []
    read.set()
    await sending
    assert len(line.written) == 1


async def test_no_header_of_a_whole_answer_breaks_its_line() -> None:
    line = Line()
    with pytest.raises(ValueError, match="header"):
        await cycle_on(line).send(start((b"location", b"/x\r\nset-cookie: a=b")))
    assert line.written == []


async def test_another_server_gets_the_answer_in_two_messages(
    client: Client, tmp_path: Path
) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    app = build(make_settings(tmp_path))
    app.state.parts = client.parts
    headers = [
        (b"host", b"localhost"),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(BODY)),
    ]
    scope = {"type": "http", "method": "POST", "path": "/v1/messages", "root_path": ""}
    await app(scope | {"query_string": b"", "headers": headers}, receive, send)
    assert [one["type"] for one in sent] == ["http.response.start", "http.response.body"]
    assert json.loads(sent[1]["body"])["topic"] == "hello"
