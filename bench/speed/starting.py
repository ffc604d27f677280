"""From the start of the process to the first message that is accepted, beside a naive server."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.fleet.cores import used_seconds
from bench.speed.figure import Figure, Measured, alternate
from bench.speed.serving import NOWHERE, SERVE, client_of, message_to, running
from bench.speed.size import Context

#: The application, in `bench/references`, that does the same without any of our care.
NAIVE = "naive"

START = Figure("starting: ready to accept", f"`{NAIVE}`", 1.3, at_least=False)
PROCESSOR = Figure("starting: processor time until ready", "", 1.5, "s", at_least=False)


def measure(context: Context) -> Iterable[Measured]:
    """Start both sides in turn, each on a database that has its tables already."""
    naive = ("-m", "bench.references.serving", NAIVE)
    our_place, naive_place = context.place("starting"), context.place("starting-naive")
    _prepare(our_place)
    _start(naive_place, naive)
    used: list[float] = []

    def ours() -> float:
        seconds, processor = _start(our_place, SERVE)
        used.append(processor)
        return seconds

    yield alternate(
        START,
        ("Almenara", ours),
        (NAIVE, lambda: _start(naive_place, naive)[0]),
        rounds=context.size.rounds,
        counted="s",
        remark="From the start of the process to the first 202, byte code and tables being there.",
    )
    yield Measured(PROCESSOR, values=used, sides={})


def _prepare(place: Path) -> None:
    with running(place) as server, client_of(server) as client:
        client.prepare(NOWHERE)


def _start(place: Path, arguments: Sequence[str]) -> tuple[float, float]:
    """Return how long it took until a message was accepted, and the processor time, in seconds."""
    began = time.perf_counter()
    with running(place, arguments) as server, client_of(server) as client:
        client.ask("POST", "/v1/messages", message_to(NOWHERE))
        return time.perf_counter() - began, used_seconds(server.pid)
