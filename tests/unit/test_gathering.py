"""When an answer goes out: whole, after the turn in which it was made, and before any end."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from almenara.api.connection import Connection

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\n"


class Wire(asyncio.Transport):
    """A transport that remembers what went out, and when it was closed."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.went_out: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.went_out.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answer in two parts, as everybody does."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode() * 40_000})


def connected(app: Any = hello) -> tuple[Connection, Wire]:
    """A connection of a server that answers by this application."""
    config = uvicorn.Config(app, lifespan="off", log_config=None)
    config.load()
    wire = Wire()
    connection = Connection(config=config, server_state=ServerState(), app_state={})
    connection.connection_made(wire)
    return connection, wire


async def until_made(connection: Connection) -> None:
    """Wait until an answer is made; it has not gone out then."""
    while connection.cycle is None or not connection.cycle.response_complete:
        await asyncio.sleep(0)


async def test_an_answer_goes_out_as_one_after_the_turn_that_made_it() -> None:
    made: list[int] = []
    (one, first), (other, second) = connected(), connected()

    async def look(scope: Any, receive: Any, send: Any) -> None:
        await hello(scope, receive, send)
        made.append(len(first.went_out) + len(second.went_out))

    for connection in (one, other):
        connection.app = look
        connection.data_received(REQUEST)
    for connection in (one, other):
        await until_made(connection)
    await asyncio.sleep(0)
    # Both were made before either went out.
    assert made == [0, 0]
    for wire in (first, second):
        [answer] = wire.went_out
        assert answer.startswith(HEAD)
        assert b"/" * 40_000 in answer
    for connection in (one, other):
        connection.connection_lost(None)


async def test_what_is_large_is_not_held_back() -> None:
    connection, wire = connected()
    connection.data_received(REQUEST.replace(b"/ ", b"/ab ", 1))
    await until_made(connection)
    assert len(b"".join(wire.went_out)) > 120_000
    connection.connection_lost(None)


async def test_what_is_made_goes_out_before_the_client_s_end_closes_the_connection() -> None:
    connection, wire = connected()
    connection.data_received(REQUEST)
    await until_made(connection)
    assert wire.went_out == []
    assert connection.eof_received() is False
    assert b"".join(wire.went_out).startswith(HEAD)
    connection.connection_lost(None)
    await asyncio.sleep(0)


@pytest.mark.parametrize("count", [1, 3])
async def test_a_client_that_says_no_more_still_hears_its_answers(count: int) -> None:
    connection, wire = connected()
    connection.data_received(REQUEST * count)
    assert connection.eof_received() is True
    while not wire.closed:
        await asyncio.sleep(0)
    assert b"".join(wire.went_out).count(HEAD) == count
    assert b"".join(wire.went_out).count(b"connection: close") == 1
    connection.connection_lost(None)


@pytest.mark.parametrize(
    "half", [b"", REQUEST[:9], b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"]
)
async def test_nothing_is_kept_open_for_half_a_request(half: bytes) -> None:
    connection, _ = connected()
    connection.data_received(half)
    assert connection.eof_received() is False
    connection.connection_lost(None)


async def test_an_end_lets_the_answer_go_first() -> None:
    connection, wire = connected()
    connection.data_received(REQUEST)
    await until_made(connection)
    cast("Any", connection).transport.close()
    assert wire.closed
    assert b"".join(wire.went_out).startswith(HEAD)
    connection.connection_lost(None)


async def test_what_nobody_can_read_any_more_is_not_written() -> None:
    connection, wire = connected()
    connection.data_received(REQUEST)
    await until_made(connection)
    wire.close()
    connection.connection_lost(ConnectionResetError())
    await asyncio.sleep(0)
    assert wire.went_out == []


async def test_whoever_is_hung_up_on_gets_nothing_more() -> None:
    connection, wire = connected()
    connection.data_received(REQUEST)
    await until_made(connection)
    cast("Any", connection).transport.abort()
    await asyncio.sleep(0)
    assert wire.went_out == []
    connection.connection_lost(None)
