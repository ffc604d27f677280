"""The hostile destinations: raw sockets in a process of its own, one port for each way to be bad.

`python -m bench.chaos.hostile_server DIRECTORY` writes `authority.pem` there, which signs the
certificates that are good or almost so, and prints one line of JSON: where each one listens.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import ssl
import struct
import subprocess
import sys
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TypeAlias

import trustme

from bench.chaos.product import ROOT, clean_environment

Behaviour: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_FOR_EVER = 3600
#: Each destination hangs up after its answer, and says so: a connection that is used again while
#: it is hung up would be another fault.
_OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
_TAKEN = _OK + b"Content-Length: 2\r\n\r\nok"
_HEADER_COUNT = 100_000
#: What a gzip bomb unpacks to: so many pieces of so many bytes, 10 GiB.
_PIECES, _PIECE_BYTES = 640, 1 << 24


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request, and say nothing."""
    del reader, writer
    await asyncio.sleep(_FOR_EVER)


async def slow_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer, one byte of the header a second."""
    del reader
    await _drip(writer, _OK + b"X-Slow: ")


async def slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer, one byte of the body a second."""
    del reader
    await _drip(writer, _OK + b"Content-Length: 100000\r\n\r\n")


async def endless_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a body that has no end."""
    del reader
    writer.write(_OK + b"Transfer-Encoding: chunked\r\n\r\n")
    await _flood(writer, b"10000\r\n" + bytes(0x10000) + b"\r\n")


async def endless_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with one header that has no end."""
    del reader
    writer.write(_OK + b"X-Long: ")
    await _flood(writer, b"x" * 65536)


async def many_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a hundred thousand headers."""
    del reader
    lines = b"".join(b"X-%d: %d\r\n" % (number, number) for number in range(_HEADER_COUNT))
    writer.write(_OK + lines + b"Content-Length: 0\r\n\r\n")
    await writer.drain()


async def hints_for_ever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say "Early Hints" again and again, and never anything else."""
    del reader
    await _flood(writer, b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Break the connection off in the middle of the body, without a proper end."""
    del reader
    writer.write(_OK + b"Content-Length: 1000\r\n\r\nhalf")
    await writer.drain()
    await asyncio.sleep(0.05)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def says(answer: bytes) -> Behaviour:
    """Make a behaviour that writes these bytes and closes."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(answer)
        await writer.drain()

    return say


def gzip_bomb() -> bytes:
    """Return ten megabytes that unpack to ten gibibytes, as an answer."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(bytes(_PIECE_BYTES)) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(_PIECE_BYTES)) + packer.flush(zlib.Z_FULL_FLUSH)
    content = head + piece * (_PIECES - 1)
    return _OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content) + content


def too_many_requests(retry_after: str) -> Behaviour:
    """Make a behaviour that answers 429."""
    return says(
        b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n"
        b"Retry-After: %s\r\n\r\n" % retry_after.encode()
    )


def behaviours() -> dict[str, Behaviour]:
    """Return every way to be bad that listens as others do."""
    in_a_week = format_datetime(datetime.now(UTC) + timedelta(days=7), usegmt=True)
    return {
        "silent": silent,
        "slow-header": slow_header,
        "slow-body": slow_body,
        "endless-body": endless_body,
        "endless-header": endless_header,
        "gzip-bomb": says(gzip_bomb()),
        "many-headers": many_headers,
        "hints-for-ever": hints_for_ever,
        "no-http": says(b"220 mail.example ESMTP\r\n" + os.urandom(2000)),
        "bad-chunks": says(_OK + b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\nbad\r\n"),
        "reset": reset,
        "garbage-after": says(_TAKEN + os.urandom(2000)),
        "too-short": says(_OK + b"Content-Length: 1000\r\n\r\nshort"),
        "negative-length": says(_OK + b"Content-Length: -1\r\n\r\nok"),
        "redirect": says(
            b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data/\r\n"
            b"Content-Length: 0\r\nConnection: close\r\n\r\n"
        ),
        "gone": says(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        "later-0": too_many_requests("0"),
        "later-negative": too_many_requests("-1"),
        "later-1e9": too_many_requests("1e9"),
        "later-1000000000": too_many_requests("1000000000"),
        "later-date": too_many_requests(in_a_week),
    }


async def serve(directory: Path) -> None:
    """Be bad until the process is ended."""
    # Each attempt of each kind may hold a connection.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "authority.pem")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    contexts = {
        "tls-good": _context(authority.issue_cert("localhost")),
        "tls-expired": _context(authority.issue_cert("localhost", not_after=yesterday)),
        "tls-wrong-name": _context(authority.issue_cert("elsewhere.example")),
        "tls-self-signed": _context(trustme.CA().issue_cert("localhost")),
    }
    urls = {
        name: f"http://127.0.0.1:{await _listen(one)}/" for name, one in behaviours().items()
    } | {
        name: f"https://localhost:{await _listen(says(_TAKEN), context)}/"
        for name, context in contexts.items()
    }
    refusing, full, unheard = _refusing(), _full(), _never_accepting()
    for name, one in (("refuse", refusing), ("backlog-full", full[0]), ("never-read", unheard)):
        urls[name] = f"http://127.0.0.1:{one.getsockname()[1]}/"
    print(json.dumps(urls), flush=True)
    await asyncio.sleep(_FOR_EVER * 24)


class HostileServer:
    """The process of the hostile destinations, as the bench holds it."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.chaos.hostile_server", str(directory)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=clean_environment(),
            cwd=ROOT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        #: Where each way to be bad listens.
        self.urls: dict[str, str] = json.loads(self._process.stdout.readline())
        #: What a client must trust for the good certificate.
        self.authority = directory / "authority.pem"

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


async def _listen(behaviour: Behaviour, context: ssl.SSLContext | None = None) -> int:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r")[0])
            await reader.readexactly(length)
            await behaviour(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context, backlog=512)
    _servers.append(server)
    return int(server.sockets[0].getsockname()[1])


#: Kept, or they would be closed.
_servers: list[asyncio.Server] = []


def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def _refusing() -> socket.socket:
    """Hold a port at which nobody listens."""
    one = socket.socket()
    one.bind(("127.0.0.1", 0))
    return one


def _full() -> list[socket.socket]:
    """Listen with a queue that is full, so that the system answers no more connections."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = []
    for _ in range(4):
        one = socket.socket()
        one.setblocking(False)
        with suppress(BlockingIOError):
            one.connect(listener.getsockname())
        waiting.append(one)
    return [listener, *waiting]


def _never_accepting() -> socket.socket:
    """Listen, and leave the connections to the system."""
    return socket.create_server(("127.0.0.1", 0), backlog=1024)


async def _drip(writer: asyncio.StreamWriter, begin: bytes) -> None:
    writer.write(begin)
    while True:
        await writer.drain()
        await asyncio.sleep(1)
        writer.write(b"x")


async def _flood(writer: asyncio.StreamWriter, piece: bytes) -> None:
    while True:
        writer.write(piece)
        await writer.drain()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
