"""A load that does not wait for the server: messages at a constant rate, or so many of them.

The closed loop of `bench.load` asks less often when the server is slow, and so hides how long
others would have waited. Here each message has its moment, and its wait counts from then.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import uvloop

#: The moments that have come are looked for so often, in seconds.
_LOOK_SECONDS = 0.001
#: Connections that are hung up are gone after so many seconds.
CLOSING_SECONDS = 0.05
#: Answers must come within so many seconds.
_PATIENCE_SECONDS = 120


@dataclass
class Sent:
    """What came back."""

    #: The waits for a 202, in seconds, from the moment that each message had.
    waits: list[float] = field(default_factory=list)
    #: Answers other than 202, and connections that were closed.
    refused_count: int = 0
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """How many were answered."""
        return len(self.waits) + self.refused_count


def send(url: str, body: object, *, rate: float, seconds: float) -> Sent:
    """Send messages at a constant rate, a second."""
    moments = deque(number / rate for number in range(int(rate * seconds)))
    return uvloop.run(_send(url, body, moments))


def send_many(url: str, body: object, count: int) -> Sent:
    """Send so many messages as fast as they are accepted."""
    return uvloop.run(_send(url, body, deque([0.0] * count)))


def percentile(waits: list[float], share: float) -> float:
    """Return what this share of the waits does not exceed.

    Raises:
        RuntimeError: there is no wait.
    """
    if not waits:
        raise RuntimeError("nothing was accepted")
    return sorted(waits)[min(int(len(waits) * share), len(waits) - 1)]


class _Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self._moment = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready for the first message."""
        self._transport = cast(asyncio.Transport, transport)
        self._load.free.append(self)

    def send(self, moment: float) -> None:
        """Send the message of a moment."""
        self._moment = moment
        if self._transport is not None:
            self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        """Count a whole answer."""
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        _, _, length = head.lower().partition(b"content-length: ")
        if len(rest) < int(length.partition(b"\r\n")[0] or 0):
            return
        self._buffer = b""
        self._load.answered(self, self._moment, accepted=head[9:12] == b"202")

    def connection_lost(self, exc: Exception | None) -> None:
        """Count what was not answered."""
        self._load.lost()


class _Load:
    """The messages that wait for their moment, and the connections that are free."""

    def __init__(self, request: bytes, moments: deque[float]) -> None:
        self.request = request
        self.free: deque[_Connection] = deque()
        self.sent = Sent()
        self.ended = asyncio.Event()
        self._moments = moments
        self._wanted = len(moments)
        self._began = 0.0

    async def run(self) -> Sent:
        self._began = time.perf_counter()
        while self._moments:
            self._send_due()
            await asyncio.sleep(_LOOK_SECONDS)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await self.ended.wait()
        self.sent.seconds = time.perf_counter() - self._began
        return self.sent

    def answered(self, connection: _Connection, moment: float, *, accepted: bool) -> None:
        if accepted:
            self.sent.waits.append(time.perf_counter() - self._began - moment)
        else:
            self.sent.refused_count += 1
        self.free.append(connection)
        self._send_due()
        if self.sent.count == self._wanted:
            self.ended.set()

    def lost(self) -> None:
        if self.sent.count < self._wanted:
            self.sent.refused_count = self._wanted - len(self.sent.waits)
            self._moments.clear()
            self.ended.set()

    def _send_due(self) -> None:
        now = time.perf_counter() - self._began
        while self.free and self._moments and self._moments[0] <= now:
            self.free.popleft().send(self._moments.popleft())


async def _send(url: str, body: object, moments: deque[float], connections: int = 64) -> Sent:
    parts = urlsplit(url)
    content = json.dumps(body).encode()
    request = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    ).encode() + content
    load = _Load(request, moments)
    loop = asyncio.get_running_loop()
    transports = [
        (await loop.create_connection(lambda: _Connection(load), parts.hostname, parts.port))[0]
        for _ in range(connections)
    ]
    sent = await load.run()
    for transport in transports:
        transport.close()
    await asyncio.sleep(CLOSING_SECONDS)
    return sent
