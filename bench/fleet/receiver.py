"""The receiver that both sides send to: a process of its own, as cheap as Python can make it.

`python -m bench.fleet.receiver DELAY_SECONDS` serves on any free port of loopback and says where in
one line of JSON, as `almenara serve` does. Every POST is counted and answered with 200, after the
delay; a GET is answered with the count.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import cast

import uvloop

_TAKEN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Tally:
    """What came so far."""

    count: int = 0
    #: POSTs that are being answered now, and the most there ever were.
    waiting: int = 0
    most_waiting: int = 0


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests on it follow each other."""

    def __init__(self, tally: Tally, delay_seconds: float) -> None:
        self._tally = tally
        self._delay_seconds = delay_seconds
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for requests."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take every request that is whole."""
        self._buffer += data
        while True:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            _, _, length = head.lower().partition(b"content-length: ")
            wanted = int(length.partition(b"\r\n")[0] or 0)
            if len(rest) < wanted:
                return
            self._buffer = rest[wanted:]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"GET"):
            self._tell()
        elif self._delay_seconds:
            self._tally.waiting += 1
            self._tally.most_waiting = max(self._tally.most_waiting, self._tally.waiting)
            self._loop.call_later(self._delay_seconds, self._take_later)
        else:
            self._take()

    def _take_later(self) -> None:
        self._tally.waiting -= 1
        self._take()

    def _take(self) -> None:
        self._tally.count += 1
        self._write(_TAKEN)

    def _tell(self) -> None:
        body = json.dumps(
            {"count": self._tally.count, "most_waiting": self._tally.most_waiting}
        ).encode()
        self._write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


async def serve(delay_seconds: float) -> None:
    """Serve until the process is killed."""
    tally = Tally()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(tally, delay_seconds), "127.0.0.1", 0, backlog=1024
    )
    port = server.sockets[0].getsockname()[1]
    line = {"event": "serving", "url": f"http://127.0.0.1:{port}"}
    print(json.dumps(line), file=sys.stderr, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(float(sys.argv[1])))
