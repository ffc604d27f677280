"""Connections of the HTTP client: kept, counted, given up; and answers whose end is hard to see."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from almenara import PermanentError, TemporaryError
from almenara.egress import Egress, pool
from almenara.egress.dialing import Dialer
from almenara.egress.resolver import AddressInfo
from almenara.egress.target import Place

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress(["127.0.0.0/8"])
    yield egress
    await egress.close()


class Server:
    """A server by hand: each connection is talked to from its first request on."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.connection_count = 0
        self.open_count = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        self.open_count += 1
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_count -= 1
            writer.close()


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[Server]:
    server = Server(talk)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        yield server


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


def answering(*answers: bytes, then_close: bool = False) -> Talk:
    """Answer one request after the other on each connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await read_request(reader)
            writer.write(answer)
            await writer.drain()
        if not then_close:
            await reader.read()

    return talk


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not look():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("method", "answer", "body"),
    [
        ("GET", b"HTTP/1.1 200 OK\r\n\r\nas long as it lasts", b"as long as it lasts"),
        ("GET", b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
        ("POST", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\nx",
            b"x",
        ),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b""),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: t\r\n\r\n",
            b"abc",
        ),
        (
            "GET",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            b"x",
        ),
    ],
)
async def test_where_an_answer_ends(
    egress: Egress, method: str, answer: bytes, body: bytes
) -> None:
    async with serving(answering(answer, then_close=True)) as server:
        response = await egress.request(method, server.url)
    assert (response.body, "X-T" in response.headers) == (body, False)


async def test_an_answer_to_head_is_not_waited_for_in_vain(egress: Egress) -> None:
    async with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")) as server:
        assert (await egress.request("HEAD", server.url, timeout_seconds=2)).status == 200


async def test_an_upgrade_that_nobody_asked_for_is_no_answer(egress: Egress) -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
    async with serving(answering(switching)) as server:
        with pytest.raises(TemporaryError, match="did not answer in proper HTTP"):
            await egress.request("GET", server.url, timeout_seconds=2)


async def test_a_request_without_a_body_says_so_only_where_one_is_expected(egress: Egress) -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(OK)

    async with serving(talk) as server:
        await egress.request("POST", server.url)
        await egress.request("GET", server.url)
    assert b"Content-Length: 0\r\n" in seen[0]
    assert b"Content-Length" not in seen[1]


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\n", "ÉT"])
async def test_a_method_must_be_a_word(egress: Egress, method: str) -> None:
    with pytest.raises(PermanentError, match="HTTP method is not valid"):
        await egress.request(method, "http://127.0.0.1")


async def test_a_connection_that_the_server_closes_is_not_used_again(egress: Egress) -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    async with serving(answering(closing)) as server:
        for _ in range(2):
            assert (await egress.request("POST", server.url)).body == b"ok"
        assert server.connection_count == 2


async def test_who_speaks_unasked_is_hung_up_on(egress: Egress) -> None:
    """What came before the request could be taken for its answer."""
    async with serving(answering(OK + OK)) as server:
        for _ in range(2):
            assert (await egress.request("POST", server.url)).body == b"ok"
        assert server.connection_count == 2

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await asyncio.sleep(0.05)
        writer.write(OK)
        await reader.read()

    async with serving(later) as server:
        await egress.request("POST", server.url)
        await until(lambda: server.open_count == 0)


async def test_a_connection_that_was_just_closed_is_made_anew_for_what_may_be_repeated(
    egress: Egress,
) -> None:
    """The server hangs up on an idle connection when the next request is on its way."""
    requests = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        writer.write(OK)
        # The second request is read, and never answered.
        await read_request(reader)

    async with serving(talk) as server:
        for _ in range(2):
            assert (await egress.request("GET", server.url)).status == 200
        assert (requests, server.connection_count) == (2, 2)
        with pytest.raises(TemporaryError, match="broke off"):
            await egress.request("POST", server.url)


async def test_no_more_than_so_many_connections_go_to_one_place(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_MOST_OF_ONE_PLACE", 2)
    go_on = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            await go_on.wait()
            writer.write(OK)

    async with serving(talk) as server, serving(answering(OK)) as other:
        many = [asyncio.create_task(egress.request("POST", server.url)) for _ in range(6)]
        await until(lambda: server.connection_count == 2)
        # One that waits for its turn goes away; another place is not waited for.
        many.pop().cancel()
        assert (await egress.request("POST", other.url)).status == 200
        go_on.set()
        assert [(await one).status for one in many] == [200] * 5
        assert server.connection_count == 2


async def test_who_waits_for_a_connection_is_told_when_the_client_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "_MOST_IN_USE", 1)
    egress = Egress(["127.0.0.0/8"])

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(talk) as server:
        waiting = [asyncio.create_task(egress.request("POST", server.url)) for _ in range(2)]
        await until(lambda: server.connection_count == 1)
        await egress.close()
        for one in waiting:
            with pytest.raises(TemporaryError, match="broke off"):
                await one


async def test_idle_connections_are_closed_in_time(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_IDLE_SECONDS", 0.1)
    async with serving(answering(OK, OK)) as server:
        await egress.request("POST", server.url)
        await asyncio.sleep(0.05)
        await egress.request("POST", server.url)
        assert server.open_count == 1
        await until(lambda: server.open_count == 0)


async def test_too_many_idle_connections_are_not_kept(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_MOST_IDLE", 1)
    async with serving(answering(OK)) as one, serving(answering(OK)) as other:
        await egress.request("POST", one.url)
        await egress.request("POST", other.url)
        await until(lambda: one.open_count + other.open_count == 1)


class Slow:
    """A DNS whose answers wait."""

    def __init__(self) -> None:
        self.asked = 0
        self.go_on = asyncio.Event()

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        self.asked += 1
        await self.go_on.wait()
        raise OSError("nobody knows")


async def test_a_name_is_looked_up_once_for_all_who_wait_for_it() -> None:
    resolver = Slow()
    dialer = Dialer(resolver, ())
    place = Place(secure=False, host="intern.example", port=80)
    many = [asyncio.create_task(dialer.dial(place)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for one in many:
        one.cancel()
    await asyncio.gather(*many, return_exceptions=True)
    resolver.go_on.set()
    await asyncio.sleep(0.01)
    assert resolver.asked == 1
