"""The load generator: keep-alive connections that each send the next request when one is answered.

A process of its own: `python -m bench.load URL BODY` prints one line of JSON. It is one loop over
`epoll`, without a framework, because whatever it takes of a small machine the server does not get:
it writes bytes that were made once, and an answer as long as the one before is not taken apart. How
much of a processor it used is in its answer, so that one sees whether it was the bottleneck.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

#: Stands in a header or in the body for a number that no other request has.
UNIQUE = "{unique}"
#: A number of answers that does not come within so many seconds does not come.
_PATIENCE_SECONDS = 900.0
_LARGEST_ANSWER = 65_536
#: `HTTP/1.1 202`
_HEAD_LENGTH = 12
_LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)\r", re.IGNORECASE)


@dataclass(slots=True)
class Line:
    """One keep-alive connection."""

    socket: socket.socket
    sent_at: float = 0.0
    #: What came of an answer that is not whole yet.
    partial: bytes = b""


@dataclass(frozen=True, slots=True)
class Usual:
    """An answer that was taken apart, by which the next ones are known without that."""

    size: int
    head: bytes
    #: The line that says how long the body is, and where it stands.
    length: bytes
    length_at: slice
    status: str

    def is_like(self, buffer: bytearray, size: int) -> bool:
        """Tell whether what came is a whole answer of the same status and length."""
        return (
            size == self.size
            and buffer[:_HEAD_LENGTH] == self.head
            and buffer[self.length_at] == self.length
        )


@dataclass
class Tally:
    """What came back."""

    #: Answers by status, and the waits for them in seconds, since they were counted last.
    statuses: dict[str, int] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    #: Answers with 202 from the first request on, those of the warm-up included.
    accepted_count: int = 0


class Generator:
    """Loads one address.

    Args:
        request: the whole of it, with ``UNIQUE`` where each request differs.
        count: so many requests and no more; absent: without end.
    """

    def __init__(self, request: bytes, *, count: int | None = None) -> None:
        self.tally = Tally()
        self._parts = request.split(UNIQUE.encode())
        self._left = count
        # Unique over all runs: no run makes a thousand million requests a second.
        self._number = time.time_ns()
        self._lines: dict[int, Line] = {}
        self._poll = select.epoll()
        self._buffer = bytearray(_LARGEST_ANSWER)
        self._usual = Usual(0, b"", b"", slice(0), "")

    def open(self, host: str, port: int, connections: int) -> None:
        """Connect, and send the first requests."""
        for _ in range(connections):
            line = Line(socket.create_connection((host, port)))
            line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._lines[line.socket.fileno()] = line
            self._poll.register(line.socket, select.EPOLLIN)
        for line in list(self._lines.values()):
            self._send(line)

    def run(self, seconds: float) -> None:
        """Go on for so long, or until nothing is left to be answered."""
        until = time.perf_counter() + seconds
        lines, poll = self._lines, self._poll.poll
        while lines and (left := until - time.perf_counter()) > 0:
            for number, _ in poll(left):
                self._take(lines[number])

    def close(self) -> None:
        """Hang up."""
        for line in list(self._lines.values()):
            self._end(line)
        self._poll.close()

    def _take(self, line: Line) -> None:
        """Read what came; send the next request if that was a whole answer."""
        try:
            size = line.socket.recv_into(self._buffer)
        except ConnectionError:
            size = 0
        if not size:
            # A connection that the server closed is not opened again.
            self._count("closed", line)
            self._end(line)
            return
        if line.partial or not self._usual.is_like(self._buffer, size):
            line.partial += self._buffer[:size]
            usual = _taken_apart(line.partial)
            if usual is None:
                return
            line.partial, self._usual = b"", usual
        self._count(self._usual.status, line)
        self._send(line)

    def _count(self, status: str, line: Line) -> None:
        tally = self.tally
        tally.accepted_count += status == "202"
        tally.statuses[status] = tally.statuses.get(status, 0) + 1
        tally.waits.append(time.perf_counter() - line.sent_at)

    def _send(self, line: Line) -> None:
        if self._left is not None:
            if not self._left:
                self._end(line)
                return
            self._left -= 1
        self._number += 1
        line.sent_at = time.perf_counter()
        try:
            line.socket.sendall((b"%020d" % self._number).join(self._parts))
        except ConnectionError:
            self._count("closed", line)
            self._end(line)

    def _end(self, line: Line) -> None:
        number = line.socket.fileno()
        self._poll.unregister(number)
        del self._lines[number]
        line.socket.close()


def generate(
    request: bytes,
    address: tuple[str, int],
    *,
    connections: int,
    warm_up_seconds: float,
    seconds: float | None,
    count: int | None,
) -> dict[str, object]:
    """Load one address for a time or by a count, and return what came back."""
    generator = Generator(request, count=count)
    began_at, began, processor = time.time(), time.perf_counter(), time.process_time()
    generator.open(*address, connections)
    tally = generator.tally
    if warm_up_seconds:
        generator.run(warm_up_seconds)
        tally.statuses, tally.waits = {}, []
        began_at, began, processor = time.time(), time.perf_counter(), time.process_time()
    generator.run(_PATIENCE_SECONDS if seconds is None else seconds)
    lasted = time.perf_counter() - began
    share = (time.process_time() - processor) / lasted
    generator.close()
    waits = sorted(tally.waits)
    well = sum(number for status, number in tally.statuses.items() if status.startswith("2"))
    return {
        "rate": well / lasted,
        "statuses": tally.statuses,
        "accepted_count": tally.accepted_count,
        "p50_ms": _percentile(waits, 0.50),
        "p99_ms": _percentile(waits, 0.99),
        "processor_share": share,
        "began_at": began_at,
        "seconds": lasted,
    }


def _taken_apart(answer: bytes) -> Usual | None:
    """Take an answer apart; ``None``: it is not whole yet."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    found = _LENGTH.search(head + separator)
    if not separator or len(body) < (int(found[1]) if found else 0):
        return None
    at = slice(*found.span()) if found else slice(0)
    return Usual(len(answer), answer[:_HEAD_LENGTH], answer[at], at, answer[9:12].decode())


def _percentile(waits: list[float], share: float) -> float:
    return waits[int(len(waits) * share)] * 1000 if waits else 0.0


def _request(url: str, body: str, headers: Sequence[str]) -> bytes:
    parts = urlsplit(url)
    # What takes the place of `UNIQUE` has twenty digits.
    length = len(body.replace(UNIQUE, "0" * 20).encode())
    head = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", *headers]
    head += ["Content-Type: application/json", f"Content-Length: {length}"]
    return ("\r\n".join(head) + f"\r\n\r\n{body}").encode()


def main() -> None:
    """Load the address of the command line."""
    parser = argparse.ArgumentParser(prog="bench.load", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("body", help=f"each {UNIQUE} in it becomes a number of its own")
    parser.add_argument("--header", action="append", default=[], help="one more, as Name: value")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--warm-up", type=float, default=0.0, help="seconds before it is measured")
    ends = parser.add_mutually_exclusive_group(required=True)
    ends.add_argument("--seconds", type=float, help="how long it is measured")
    ends.add_argument("--count", type=int, help="how many requests are made, and no more")
    options = parser.parse_args()
    parts = urlsplit(options.url)
    answer = generate(
        _request(options.url, options.body, options.header),
        (parts.hostname or "", parts.port or 80),
        connections=options.connections,
        warm_up_seconds=options.warm_up,
        seconds=options.seconds,
        count=options.count,
    )
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
