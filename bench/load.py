"""The load generator: keep-alive connections that each send the next request when one is answered.

A process of its own: `python -m bench.load URL BODY CONNECTIONS WARM_UP_SECONDS SECONDS` prints one
line of JSON. It writes bytes that were made once and parses no more than status and length; how
much of a processor it used is in its answer, so that one sees whether it was the bottleneck.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import uvloop


@dataclass
class Tally:
    """What came back while it was measured."""

    measuring: bool = False
    #: Answers by status.
    statuses: dict[str, int] = field(default_factory=dict)
    #: The waits for the answers, in seconds.
    waits: list[float] = field(default_factory=list)
    #: Answers with 202 from the first request on, those of the warm-up included.
    accepted_count: int = 0


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self._request = request
        self._tally = tally
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count a whole answer, and send the next request."""
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        _, _, length = head.lower().partition(b"content-length: ")
        if len(rest) < int(length.partition(b"\r\n")[0] or 0):
            return
        self._buffer = b""
        self._count(head[9:12].decode())
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that the server closed: it is not opened again."""
        self._count("closed")

    def _count(self, status: str) -> None:
        tally = self._tally
        tally.accepted_count += status == "202"
        if tally.measuring:
            tally.statuses[status] = tally.statuses.get(status, 0) + 1
            tally.waits.append(time.perf_counter() - self._sent_at)

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        if self._transport is not None:
            self._transport.write(self._request)


async def generate(
    url: str, body: bytes, *, connections: int, warm_up_seconds: float, seconds: float
) -> dict[str, object]:
    """Load one address, and return what came back."""
    parts = urlsplit(url)
    request = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    loop, tally = asyncio.get_running_loop(), Tally()
    mistakes: list[object] = []
    loop.set_exception_handler(
        lambda _, context: mistakes.append(context.get("exception") or context["message"])
    )
    for _ in range(connections):
        await loop.create_connection(
            lambda: Connection(request, tally), parts.hostname or "", parts.port or 80
        )
    await asyncio.sleep(warm_up_seconds)
    tally.measuring = True
    began, processor = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    tally.measuring = False
    lasted = time.perf_counter() - began
    if mistakes:
        raise RuntimeError(f"The load generator is wrong: {mistakes[0]!r}")
    waits = sorted(tally.waits)
    return {
        "rate": tally.statuses.get("202", 0) / lasted,
        "statuses": tally.statuses,
        "accepted_count": tally.accepted_count,
        "p50_ms": _percentile(waits, 0.50),
        "p99_ms": _percentile(waits, 0.99),
        "processor_share": (time.process_time() - processor) / lasted,
    }


def _percentile(waits: list[float], share: float) -> float:
    return waits[int(len(waits) * share)] * 1000 if waits else 0.0


def main() -> None:
    """Load the address of the command line."""
    url, body, connections, warm_up_seconds, seconds = sys.argv[1:]
    work = generate(
        url,
        body.encode(),
        connections=int(connections),
        warm_up_seconds=float(warm_up_seconds),
        seconds=float(seconds),
    )
    print(json.dumps(uvloop.run(work)))


if __name__ == "__main__":
    main()
