"""How long a message waits: to be accepted beside a slow receiver, and to be handed over."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterable
from typing import cast
from urllib.parse import urlsplit

import uvloop

from bench.fleet.programs import served
from bench.processes import load
from bench.speed.figure import Figure, Measured
from bench.speed.serving import Server, client_of, message_to, running
from bench.speed.size import Context
from bench.speed.steady import CLOSING_SECONDS, percentile, send

ACCEPT = Figure("latency: accept, p99 beside a receiver of 2 s", "", 50.0, "ms", at_least=False)
HAND_OVER = {
    0.50: Figure("latency: from accepted to handed over, p50", "", 5.0, "ms", at_least=False),
    0.99: Figure("latency: from accepted to handed over, p99", "", 25.0, "ms", at_least=False),
}

_SLOW_SECONDS = 2.0
#: By size: messages of one alternation that are handed over one by one.
_HANDED = {"test": 10, "quick": 60, "full": 300, "long": 300}
#: Between two of them the system is idle again, for so many seconds.
_PAUSE_SECONDS = (0.02, 0.04)
#: The first ones open connections and import what is needed for the first time.
_WARMING = 20
_PATIENCE_SECONDS = 10


def measure(context: Context) -> Iterable[Measured]:
    """Measure both."""
    yield _accepting(context)
    yield from _handing_over(context)


def _accepting(context: Context) -> Measured:
    """Send at half of the highest rate while a channel is saturated and its backlog grows."""
    seconds, body = context.size.seconds, message_to("slow")
    place = context.place("latency-accept")
    arguments = ("-m", "bench.fleet.receiver", str(_SLOW_SECONDS))
    values: list[float] = []
    rates: list[float] = []
    with (
        served(arguments, output=place / "receiver.log") as (address, _),
        running(place) as server,
        client_of(server) as client,
    ):
        client.prepare("slow", "Webhook", url=f"{address}/hook")
        url = f"{server.url}/v1/messages"
        for _ in range(context.size.rounds):
            closed = load(url, json.dumps(body), connections=64, warm_up=0.3, seconds=seconds)
            rates.append(closed["rate"] / 2)
            sent = send(url, body, rate=rates[-1], seconds=2 * seconds)
            if sent.refused_count:
                raise RuntimeError(f"{sent.refused_count} messages were not accepted")
            values.append(percentile(sent.waits, 0.99) * 1000)
    remark = f"At {', '.join(f'{rate:,.0f}' for rate in rates)} messages a second, from the moment "
    return Measured(ACCEPT, values, {}, remark=f"{remark}that each of them had.")


def _handing_over(context: Context) -> Iterable[Measured]:
    """Post and receive in one process, by one clock, one message at a time."""
    waits: list[list[float]] = []
    posted: list[float] = []
    with running(context.place("latency-handed")) as server:
        for _ in range(context.size.rounds):
            handed = uvloop.run(_hand_over(server.url, _HANDED[context.size.name]))
            waits.append([max(one.received_at - one.accepted_at, 0.0) for one in handed])
            posted += [one.received_at - one.posted_at for one in handed]
    for share, figure in HAND_OVER.items():
        whole = percentile(posted, share) * 1000
        yield Measured(
            figure,
            values=[percentile(one, share) * 1000 for one in waits],
            sides={},
            remark=f"From the sender's first byte to the receiver's last it was {whole:.1f} ms.",
        )


class _Handed:
    """The moments of one message, in seconds."""

    def __init__(self) -> None:
        self.posted_at = 0.0
        self.accepted_at = 0.0
        self.received_at = 0.0


class _Receiver(asyncio.Protocol):
    """Answers each POST at once, and notes when it was whole."""

    def __init__(self, arrivals: asyncio.Queue[float], opened: list[asyncio.BaseTransport]) -> None:
        self._arrivals = arrivals
        self._opened = opened
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._opened.append(transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if _whole(self._buffer):
            self._buffer = b""
            self._arrivals.put_nowait(time.perf_counter())
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class _Sender(asyncio.Protocol):
    """Notes when an answer was whole."""

    def __init__(self, answers: asyncio.Queue[float]) -> None:
        self._answers = answers
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if _whole(self._buffer):
            if self._buffer[9:12] != b"202":
                raise RuntimeError(f"not accepted: {self._buffer!r}")
            self._buffer = b""
            self._answers.put_nowait(time.perf_counter())


def _whole(data: bytes) -> bool:
    head, separator, rest = data.partition(b"\r\n\r\n")
    _, _, length = head.lower().partition(b"content-length: ")
    return bool(separator) and len(rest) >= int(length.partition(b"\r\n")[0] or 0)


async def _hand_over(url: str, count: int) -> list[_Handed]:
    """Hand over messages one by one, those of the warming left out."""
    loop = asyncio.get_running_loop()
    arrivals: asyncio.Queue[float] = asyncio.Queue()
    answers: asyncio.Queue[float] = asyncio.Queue()
    opened: list[asyncio.BaseTransport] = []
    receiver = await loop.create_server(lambda: _Receiver(arrivals, opened), "127.0.0.1", 0)
    port = receiver.sockets[0].getsockname()[1]
    await asyncio.to_thread(_prepare, url, port)
    parts = urlsplit(url)
    sender, _ = await loop.create_connection(lambda: _Sender(answers), parts.hostname, parts.port)
    content = json.dumps(message_to("fast")).encode()
    request = (
        f"POST /v1/messages HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    ).encode() + content
    found = []
    for _ in range(_WARMING + count):
        await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))
        one = _Handed()
        one.posted_at = time.perf_counter()
        sender.write(request)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            one.accepted_at = await answers.get()
            one.received_at = await arrivals.get()
        found.append(one)
    receiver.close()
    for transport in (sender, *opened):
        transport.close()
    # The loop has to see them close before it ends itself.
    await asyncio.sleep(CLOSING_SECONDS)
    return found[_WARMING:]


def _prepare(url: str, port: int) -> None:
    with client_of(Server(url, 0)) as client:
        client.prepare("fast", "Webhook", url=f"http://127.0.0.1:{port}/hook")
