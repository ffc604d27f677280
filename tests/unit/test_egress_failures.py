"""Every way in which a request can fail: its class, and that no error holds a secret."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from almenara import PermanentError, TemporaryError
from almenara.egress import Egress
from almenara.egress.failures import reason_of
from almenara.egress.resolver import AddressInfo
from almenara.testing import Answer, FakeService

SECRET = "s3cr3t-t0ken"
PATH = f"/services/{SECRET}?key={SECRET}"
HEADERS = {"Authorization": SecretStr(f"Bearer {SECRET}")}

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress(["127.0.0.0/8"])
    yield egress
    await egress.close()


def everything_said(error: BaseException) -> str:
    """The error as the most talkative log would print it: with traceback, causes and contexts."""
    parts = traceback.format_exception(error)
    link: BaseException | None = error
    while link is not None:
        parts += [str(link), repr(link), repr(link.args)]
        link = link.__cause__ or link.__context__
    return "\n".join(parts)


async def fails(egress: Egress, origin: str, kind: type[Exception], **more: Any) -> str:
    """Make a request that must fail with this class; return its text."""
    with pytest.raises(kind) as caught:
        await egress.request("POST", SecretStr(origin + PATH), headers=HEADERS, json={}, **more)
    assert type(caught.value) is kind
    assert SECRET not in everything_said(caught.value)
    return str(caught.value)


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[str]:
    """A server that does anything but HTTP as it should be."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await talk(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def says(*pieces: bytes, then_wait: bool = False) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if then_wait:
            await reader.read()

    return talk


async def test_a_refused_connection_is_temporary(egress: Egress) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        origin = f"http://127.0.0.1:{taken.getsockname()[1]}"
        text = await fails(egress, origin, TemporaryError)
    assert text == f"No connection to {origin} could be made (Connection refused)."


class NoNames:
    """Stands for a DNS that knows no name."""

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def test_a_name_that_does_not_exist_is_temporary() -> None:
    egress = Egress(resolver=NoNames())
    text = await fails(egress, "http://nobody.invalid", TemporaryError)
    await egress.close()
    assert text == "The name in http://nobody.invalid:80 could not be resolved."


async def test_silence_is_temporary(egress: Egress) -> None:
    async with server(says(then_wait=True)) as origin:
        text = await fails(egress, origin, TemporaryError, timeout_seconds=0.2)
    assert text == f"{origin} gave no full answer within 0.2 s."


async def test_the_timeout_covers_the_body(egress: Egress) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx"
    async with server(says(head, then_wait=True)) as origin:
        await fails(egress, origin, TemporaryError, timeout_seconds=0.3)


async def test_no_time_at_all_is_a_timeout_and_not_for_ever(egress: Egress) -> None:
    async with server(says(then_wait=True)) as origin:
        await fails(egress, origin, TemporaryError, timeout_seconds=0)


async def test_a_server_that_takes_no_connection_is_temporary(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("almenara.egress.dialing.CONNECT_SECONDS", 0.2)

    # A TLS connection to a server that never answers the greeting is never made.
    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(nothing, "127.0.0.1", 0)
    async with listening:
        origin = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        text = await fails(egress, origin, TemporaryError)
    assert text == f"No connection to {origin} could be made in time."


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a number\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 2OO OK\r\n\r\n",
        b"220 smtp.example.org ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 10_000 + b"\r\n",
        b"\x00\xff" * 100,
    ],
)
async def test_an_answer_that_is_not_proper_http_is_temporary(
    egress: Egress, answer: bytes
) -> None:
    async with server(says(answer)) as origin:
        text = await fails(egress, origin, TemporaryError, timeout_seconds=5)
    assert origin in text


async def test_a_connection_that_is_reset_is_temporary(egress: Egress) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with server(reset) as origin:
        text = await fails(egress, origin, TemporaryError)
    assert origin in text


async def test_endless_interim_answers_are_a_timeout(egress: Egress) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
                await writer.drain()
        except ConnectionError:
            return

    async with server(flood) as origin:
        await fails(egress, origin, TemporaryError, timeout_seconds=0.3)


async def test_a_certificate_that_nobody_trusts_is_temporary_and_named(egress: Egress) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with FakeService(tls=context) as receiver:
        text = await fails(egress, receiver.url, TemporaryError)
        assert receiver.received == []
    assert text.startswith(f"The certificate of {receiver.url} is not to be trusted (")


def test_a_number_of_the_tls_library_is_not_taken_for_one_of_the_systems() -> None:
    assert reason_of(ssl.SSLError(1, "alert")) is None
    assert reason_of(ConnectionResetError(errno.ECONNRESET, "?")) == "Connection reset by peer"


async def test_tls_to_a_server_without_it_is_temporary(egress: Egress) -> None:
    with FakeService() as receiver:
        origin = receiver.url.replace("http:", "https:")
        text = await fails(egress, origin, TemporaryError)
    assert origin in text


async def test_a_redirect_to_a_secret_place_tells_nothing(egress: Egress) -> None:
    with FakeService() as receiver:
        receiver.answer = Answer(status=302, headers={"Location": f"{receiver.url}/{SECRET}"})
        response = await egress.request("POST", receiver.url + PATH)
    assert SECRET not in repr(response)


@pytest.mark.parametrize(
    "origin",
    [
        "http://10.1.2.3",
        "http://169.254.169.254",
        "http://[::1]",
        "http://[::ffff:10.0.0.1]:8080",
    ],
)
async def test_an_address_that_is_not_permitted_is_permanent(egress: Egress, origin: str) -> None:
    text = await fails(egress, origin, PermanentError)
    assert text.startswith("No connection to http://")


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "hooks.example.com",
        "//hooks.example.com",
        "ftp://hooks.example.com",
        "file://",
        "http:/hooks.example.com",
        "http://",
        "http://:80",
        "http://a:b@hooks.example.com",
        f"http://{SECRET}@hooks.example.com",
        "http://hooks.example.com:0",
        "http://hooks.example.com:99999",
        "http://hooks.example.com:port",
        "http://[::1",
        "http://[::1%25eth0]",
        "http://[fe80::1%eth0]",
        "http://127.0.0.1\\@hooks.example.com",
        "http://hooks.example.com\r\nX-Injected: 1",
        "http://hooks.example.com\x00",
        "http://2130706433",
        "http://0x7f.1",
        "http://127.1",
        "http://127.0.0.1.",
        "http://%31%32%37.0.0.1",
        "http://a..b",
        "http://ho st",
        "http://\udc00",
    ],
)
async def test_a_url_that_cannot_be_used_is_permanent(egress: Egress, origin: str) -> None:
    await fails(egress, origin, PermanentError)


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "content-length", "Transfer-Encoding", "CONNECTION", "TE", "Upgrade", "Expect"),
        *("Proxy-Authorization", "Keep-Alive", "Trailer", "Accept-Encoding"),
    ],
)
async def test_a_header_that_the_client_governs_cannot_be_set(egress: Egress, name: str) -> None:
    with pytest.raises(PermanentError, match=name) as caught:
        await egress.request("POST", "http://127.0.0.1", headers={name: SECRET})
    assert SECRET not in everything_said(caught.value)


@pytest.mark.parametrize(
    "value", ["\r\nX: y", "\n", "\r", "\x00", "\x1b[0m", "\x7f", "\udc00", "ok\r\n"]
)
async def test_a_header_value_cannot_break_out_of_its_line(egress: Egress, value: str) -> None:
    with pytest.raises(PermanentError, match="X-Key") as caught:
        await egress.request("POST", "http://127.0.0.1", headers={"X-Key": SECRET + value})
    assert SECRET not in everything_said(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "ñ", "a\x00"])
async def test_a_header_name_must_be_a_name(egress: Egress, name: str) -> None:
    with pytest.raises(PermanentError, match="name of a header"):
        await egress.request("POST", "http://127.0.0.1", headers={name: "x"})


async def hints_without_end(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
        await writer.drain()


async def some_hints(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n" + b"x" * 40_000)
    await writer.drain()


async def test_hints_without_end_are_broken_off_at_once(egress: Egress) -> None:
    async with server(hints_without_end) as url:
        text = await fails(egress, url, TemporaryError, timeout_seconds=60)
    assert "did not answer in proper HTTP" in text


async def test_an_answer_may_come_after_some_hints(egress: Egress) -> None:
    async with server(some_hints) as url:
        response = await egress.request("POST", url, json={})
    assert (response.status, len(response.body)) == (200, 40_000)


async def test_a_header_value_may_hold_other_scripts_and_tabs(egress: Egress) -> None:
    with FakeService() as receiver:
        await egress.request("POST", receiver.url, headers={"X-Name": "Ñandú\tx"})
    assert receiver.received[0].headers["X-Name"] == "Ñandú\tx"
