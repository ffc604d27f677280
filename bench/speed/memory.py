"""Whether memory grows: with what waits, and with what has gone through."""

from __future__ import annotations

import time
from collections.abc import Iterable

from bench.fleet.cores import resident_bytes
from bench.fleet.programs import served
from bench.speed.figure import Figure, Measured
from bench.speed.serving import Server, client_of, message_to, running
from bench.speed.size import Context
from bench.speed.steady import send_many

_MEBIBYTE = 1024 * 1024
#: What was sent first, so that everything has been exercised before memory is looked at.
_WARMING = 2_000
_LOOKS = 10
#: Memory is looked at when the server has been left alone for so long, in seconds.
_SETTLE_SECONDS = 1.0
#: The receiver takes so long to answer, in seconds.
_SLOW_SECONDS = 2.0


def measure(context: Context) -> Iterable[Measured]:
    """Measure both."""
    yield _pending(context)
    yield _through(context)


def _pending(context: Context) -> Measured:
    """Let many messages wait for a receiver that takes its time."""
    count = context.size.pending
    place = context.place("pending")
    arguments = ("-m", "bench.fleet.receiver", str(_SLOW_SECONDS))
    with (
        served(arguments, output=place / "receiver.log") as (address, _),
        running(place) as server,
        client_of(server) as client,
    ):
        client.prepare("noop", "Noop")
        client.prepare("slow", "Webhook", url=f"{address}/hook")
        _send(server, "noop", min(_WARMING, count))
        _send(server, "slow", 32)
        client.wait_until_finished("noop")
        client.wait_until_finished("slow")
        before = _memory(server)
        _send(server, "slow", count)
        growth = _memory(server) - before
    figure = Figure(f"memory: {count:,} pending beside none", "", 20.0, "MiB", at_least=False)
    return Measured(figure, values=[growth], sides={}, remark=f"It had {before:.0f} MiB before.")


def _through(context: Context) -> Measured:
    """Let many messages go through one process."""
    count = context.size.through
    part = count // _LOOKS
    looks: list[float] = []
    with running(context.place("through")) as server, client_of(server) as client:
        client.prepare("noop", "Noop")
        for _ in range(_LOOKS):
            _send(server, "noop", part)
            client.wait_until_finished("noop")
            looks.append(_memory(server))
    figure = Figure(
        f"memory: after {count:,} messages beside after {part:,}", "", 10.0, "MiB", at_least=False
    )
    seen = ", ".join(f"{look:.0f}" for look in looks)
    remark = f"After each tenth it had {seen} MiB."
    return Measured(figure, values=[looks[-1] - looks[0]], sides={}, remark=remark)


def _send(server: Server, topic: str, count: int) -> None:
    """Have messages accepted.

    Raises:
        RuntimeError: not all were.
    """
    sent = send_many(f"{server.url}/v1/messages", message_to(topic), count)
    if sent.refused_count:
        raise RuntimeError(f"{sent.refused_count} of {count} messages were refused")


def _memory(server: Server) -> float:
    """Return the resident memory of a server that is left alone, in MiB."""
    time.sleep(_SETTLE_SECONDS)
    return resident_bytes(server.pid) / _MEBIBYTE
