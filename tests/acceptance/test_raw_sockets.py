"""What clients can do to a connection: odd, huge, slow, many; each is answered or hung up on."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from almenara.api import connection
from almenara.api.connection import Connection
from tests.serving import Client, make_settings, served

GOOD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = b'{"topic":"hello","description":"x"}'
POST = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with served(make_settings(tmp_path)) as one:
        yield one


async def opened(client: Client) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(client.url)
    return await asyncio.open_connection(address.hostname, address.port)


async def talk(client: Client, raw: bytes) -> bytes:
    """Send bytes, say that no more will come, and return what comes back."""
    reader, writer = await opened(client)
    said = b""
    # The server may have hung up before all of it was sent.
    with contextlib.suppress(OSError):
        writer.write(raw)
        await writer.drain()
        writer.write_eof()
    with contextlib.suppress(OSError):
        async with asyncio.timeout(10):
            while part := await reader.read(65_536):
                said += part
    writer.close()
    return said


def statuses(said: bytes) -> list[int]:
    return [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]]


def post(*lines: bytes, body: bytes = BODY) -> bytes:
    return POST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


#: What is sent, and the statuses that are allowed; an empty answer is a hang-up.
REFUSED = {400, 404, 405, 408, 411, 413, 414, 415, 417, 421, 422, 431, 501, 505}
ODD: dict[str, bytes] = {
    # RFC 9112, sections 6.1 and 11.2: what two readers may read differently.
    "length and chunked": post(LENGTH[:-2], b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunked and length": post(b"Transfer-Encoding: chunked", LENGTH[:-2], body=b"0\r\n\r\n"),
    "two lengths": post(b"Content-Length: 5", b"Content-Length: 6"),
    "two lengths in one": post(b"Content-Length: 5, 6"),
    "the same length twice": post(LENGTH[:-2], LENGTH[:-2]),
    "length with a sign": post(b"Content-Length: +35"),
    "negative length": post(b"Content-Length: -1"),
    "length in hexadecimal": post(b"Content-Length: 0x23"),
    "length with a space": post(b"Content-Length: 3 5"),
    "huge length": post(b"Content-Length: 99999999999999999999999999"),
    "empty length": post(b"Content-Length:"),
    "space before the colon": post(b"Content-Length : 35"),
    "unknown coding": post(b"Transfer-Encoding: gzip"),
    "chunked twice": post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "chunked, identity": post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    "xchunked": post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunked by tab": post(b"Transfer-Encoding:\tchunked", body=b"zz\r\n"),
    "chunk size is no number": post(b"Transfer-Encoding: chunked", body=b"xyz\r\nabc\r\n0\r\n\r\n"),
    "chunk size is huge": post(b"Transfer-Encoding: chunked", body=b"f" * 20 + b"\r\nabc\r\n"),
    "chunk without an end": post(b"Transfer-Encoding: chunked", body=b"3\r\nabcdef\r\n0\r\n\r\n"),
    "chunk with a bare newline": post(b"Transfer-Encoding: chunked", body=b"3\nabc\n0\n\n"),
    "folded header": post(b"X-Long: a\r\n b", LENGTH[:-2]),
    "header without a colon": post(b"nonsense"),
    "header without a name": post(b": value"),
    "NUL in a header": post(b"X-A: a\0b"),
    "NUL in a name": post(b"X\0A: b"),
    "CR in a header": post(b"X-A: a\rb"),
    "bare newline ends": b"GET /v1/x HTTP/1.1\nHost: localhost\n\n",
    "no host": b"GET /v1/messages HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /v1/messages HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
    "a port that is none": b"GET /v1/x HTTP/1.1\r\nHost: localhost:99999999\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2.0": b"GET /v1/x HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "HTTP/3": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.10": b"GET /v1/x HTTP/1.10\r\nHost: localhost\r\n\r\n",
    "no version": b"GET /v1/messages\r\nHost: localhost\r\n\r\n",
    "no method": b" /v1/messages HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a method of its own": b"BREW /v1/messages HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "method in small letters": b"get /v1/messages HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a long method": b"G" * 5000 + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TRACE": b"TRACE /v1/messages HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT": b"CONNECT evil:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "absolute address": b"GET http://evil/v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "asterisk": b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two spaces": b"GET  /v1/x  HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "control in the address": b"GET /v1/\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "NUL in the address": b"GET /v1/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "8 bits in the address": b"GET /v1/\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "half an escape": b"GET /v1/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "dots": b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "escaped dots": b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "long address": b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "long query": b"GET /v1/x?" + b"a" * 5_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "large header": b"GET /v1/x HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    "a header without an end": b"GET /v1/x HTTP/1.1\r\nX: " + b"a" * 300_000,
    "many headers": b"GET /v1/x HTTP/1.1\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n",
    "SMTP": b"EHLO localhost\r\nMAIL FROM:<a@b>\r\n",
    "proxy protocol": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + GOOD,
    "only line ends": b"\r\n" * 100,
    "zeros": b"\0" * 1000,
    "websocket": (
        b"GET /v1/messages/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\n\r\n"
    ),
    "h2c": (
        b"GET /v1/messages/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
    ),
    "unknown expectation": post(b"Expect: 200-maybe", b"Content-Length: 0", body=b""),
    "idempotency key of 8 bits": post(LENGTH[:-2], b"Idempotency-Key: \xff\xfe"),
    "idempotency key too long": post(LENGTH[:-2], b"Idempotency-Key: " + b"k" * 300),
    "two content types": post(LENGTH[:-2], b"Content-Type: text/plain"),
    "no content type": b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n"
    + LENGTH
    + b"\r\n"
    + BODY,
    **{
        f"compressed by {name.decode()}": post(LENGTH[:-2], b"Content-Encoding: " + name)
        for name in (b"gzip", b"br", b"zstd", b"deflate", b"gzip, gzip", b"compress", b"unknown")
    },
    **{
        f"random bytes {seed}": random.Random(seed).randbytes(200 + 97 * seed) for seed in range(40)
    },
    **{
        f"a request broken at random {seed}": bytes(
            byte if random.Random(seed * 1000 + at).random() > 0.03 else 255 - byte
            for at, byte in enumerate(post(LENGTH[:-2]))
        )
        for seed in range(1, 30)
    },
}
#: What is odd, but right: it is read as RFC 9112 has it.
TAKEN = {"bare newline ends", "no host", "absolute address", "two content types"}


async def test_whatever_comes_is_refused_or_hung_up_on(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {name: statuses(await talk(client, raw)) for name, raw in ODD.items()}
    strange = {
        name: found
        for name, found in answers.items()
        if not set(found)
        <= (REFUSED | {200, 202} if name in TAKEN or "random" in name else REFUSED)
    }
    assert strange == {}
    assert len(ODD) > 130
    written = "".join(capsys.readouterr())
    assert "Traceback" not in written
    assert "request_broken" not in written
    # It serves as before.
    assert (await client.get("/readyz")).body["status"] == "ready"
    accepted = await client.post("/v1/messages", {"topic": "hello", "description": "after"})
    assert (await client.final(accepted.body["id"]))["status"] == "sent"


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("long address", 414, "url_too_long"),
        ("long query", 414, "url_too_long"),
        ("large header", 431, "header_too_large"),
        ("a header without an end", 431, "header_too_large"),
        ("many headers", 431, "header_too_large"),
        ("length and chunked", 400, "bad_request"),
        ("two lengths", 400, "bad_request"),
        ("TLS", 400, "bad_request"),
        ("compressed by gzip", 415, "unsupported_media_type"),
    ],
)
async def test_what_is_too_large_or_unreadable_is_told_so(
    client: Client, name: str, status: int, code: str
) -> None:
    said = await talk(client, ODD[name])
    assert statuses(said)[0] == status
    assert f'"code": "{code}"'.replace(": ", ":").encode() in said.replace(b": ", b":")
    if status != 415:
        assert b"connection: close" in said.lower()
        assert b"x-content-type-options: nosniff" in said.lower()


async def test_the_limits_are_reached_before_they_are_passed(client: Client) -> None:
    lines = b"".join(b"X-%d: a\r\n" % number for number in range(99))
    for raw in (
        b"GET /healthz?" + b"a" * 4_095 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 60_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n",
    ):
        assert statuses(await talk(client, raw)) == [200]


async def test_requests_that_come_together_are_answered_in_order(client: Client) -> None:
    reader, writer = await opened(client)
    writer.write(GOOD * 3 + GOOD.replace(b"healthz", b"nothing"))
    async with asyncio.timeout(10):
        said = await reader.readuntil(b"not_found")
    writer.close()
    assert statuses(said) == [200, 200, 200, 404]


async def test_who_says_no_more_behind_a_message_hears_that_it_is_stored(client: Client) -> None:
    said = await talk(client, post(LENGTH[:-2]))
    assert statuses(said) == [202]
    assert b"connection: close" in said
    stored = (await client.get("/v1/messages")).body["data"]
    assert [one["id"].encode() in said for one in stored] == [True]


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([b"GET /healthz HT"], 408),
        ([b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", *[b"a"] * 8], 408),
        ([POST + LENGTH + b"\r\n"], 408),
        ([POST + LENGTH + b"\r\n", *[b"{"] * 8], 408),
        ([POST + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\n \r\n"] * 8], 408),
        ([GOOD, b"GET /healthz HT"], 200),
    ],
)
async def test_who_is_too_slow_is_hung_up_on_however_much_comes(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    parts: list[bytes],
    status: int,
) -> None:
    await client.get("/healthz")  # the first answer loads the routes, which may take as long
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.4)
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.4)
    reader, writer = await opened(client)
    reading = asyncio.ensure_future(reader.read(-1))
    async with asyncio.timeout(10):
        for part in parts:
            if not reading.done():
                writer.write(part)
                await asyncio.wait([reading], timeout=0.1)
        said = await reading
    writer.close()
    assert statuses(said)[0] == status
    assert statuses(said)[-1] == 408
    assert b'"code": "too_slow"' in said
    written = "".join(capsys.readouterr())
    assert "request_broken" not in written
    assert "Traceback" not in written
    assert (await client.get("/healthz")).status == 200


async def test_who_says_nothing_at_all_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.serving.KEEP_ALIVE_SECONDS", 0.3)
    async with served(make_settings(tmp_path)) as client:
        reader, writer = await opened(client)
        async with asyncio.timeout(10):
            assert await reader.read(-1) == b""
        writer.close()


async def test_one_connection_too_many_is_told_when_to_come_back(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "most_connections", 5)
    idle = [await opened(client) for _ in range(5)]
    for _, writer in idle:
        writer.write(GOOD)
    for reader, _ in idle:
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
    said = await talk(client, GOOD)
    assert statuses(said) == [503]
    assert b"Retry-After: 1" in said
    idle[0][1].close()
    await asyncio.sleep(0.1)
    assert statuses(await talk(client, GOOD)) == [200]
    for _, writer in idle:
        writer.close()


async def test_a_thousand_idle_connections_keep_nobody_out(client: Client) -> None:
    idle = [await opened(client) for _ in range(1000)]
    assert (await client.get("/readyz")).status == 200
    for _, writer in idle:
        writer.close()
