"""How many messages a second are accepted: Almenara beside an insert in each request.

`make bench-accept` takes about a minute; `make bench-accept ARGS=--full` measures longer. Each
number is from a fresh process on a fresh database; the two sides take turns, so that what else the
machine does meets both. After each run the server is killed, and the rows on the disk are counted
against the 202 answers.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.processes import load, put, server

ALMENARA = ("-m", "almenara", "serve", "--port", "0")
REFERENCE = ("-m", "bench.references.serving", "insert_per_request")
BARE = ("-m", "bench.references.serving", "bare")
SIDES = {"almenara": ALMENARA, "an insert per request": REFERENCE}

#: What is measured, by the topic it is sent to.
SCENARIOS = {
    "nowhere": "accept alone: a topic without channels; a message is one row",
    "noop": "accept and send: a topic with one channel, whose plugin does nothing;\n"
    "      a message is three rows, two of them moved on as it is sent",
}

_NOOP = '''"""Sends nowhere."""


class Noop:
    async def send_message(self, message, background_tasks):
        return None
'''


@dataclass(frozen=True)
class Run:
    """One measurement of one side."""

    rate: float
    p50_ms: float
    p99_ms: float
    #: How much of a processor the load generator used.
    generator_share: float
    #: Messages that were answered with 202 but are not on the disk.
    lost_count: int
    #: Answers other than 202.
    refused_count: int
    #: Deliveries that were sent meanwhile, a second; what waits is on the disk.
    sent_rate: float


def main() -> None:
    """Measure, and print the table."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="almenara-bench-") as name:
        directory = Path(name)
        _print_head(options, directory)
        _print_generator(options, directory)
        for topic, sentence in SCENARIOS.items():
            print(f"\n{sentence}")
            _compare(options, directory, topic)


def _compare(options: argparse.Namespace, directory: Path, topic: str) -> None:
    """Let both sides take turns, and print a line for each."""
    runs: dict[str, list[Run]] = {side: [] for side in SIDES}
    for number in range(options.rounds):
        for side in SIDES:
            place = directory / f"{topic}-{number}-{side.replace(' ', '-')}"
            runs[side].append(_measure(options, place, side, topic))
    print(
        f"      {'medians':23}{'accepted/s':>11}{'least - most':>17}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'sent/s':>9}"
    )
    for side, of_side in runs.items():
        _print_side(side, of_side)
    ours, theirs = (runs[side] for side in SIDES)
    ratios = [one.rate / other.rate for one, other in zip(ours, theirs, strict=True)]
    print(
        f"      {'ratio, round by round':23}{statistics.median(ratios):>10.1f}x"
        f"{f'{min(ratios):.1f} - {max(ratios):.1f}':>17}"
    )


def _measure(options: argparse.Namespace, place: Path, side: str, topic: str) -> Run:
    """Measure one side once, on a database of its own."""
    plugin = place / "plugins" / "noop" / "noop.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(_NOOP)
    with server(SIDES[side], place) as url:
        if side == "almenara":
            put(f"{url}/v1/channels/noop", {"plugin": "Noop"})
            put(f"{url}/v1/topics/noop", {"channel": "noop"})
            put(f"{url}/v1/topics/nowhere", {"channels": []})
        answer = load(
            f"{url}/v1/messages",
            f'{{"topic": "{topic}", "description": "I need help with my plan"}}',
            connections=options.connections,
            warm_up=options.warm_up,
            seconds=options.seconds,
        )
    if not answer["rate"]:
        raise RuntimeError(f"Nothing was accepted by {side}: {answer['statuses']}")
    stored, sent = _rows(place / "data" / "almenara.sqlite3")
    return Run(
        rate=answer["rate"],
        p50_ms=answer["p50_ms"],
        p99_ms=answer["p99_ms"],
        generator_share=answer["processor_share"],
        lost_count=max(0, answer["accepted_count"] - stored),
        refused_count=sum(answer["statuses"].values()) - answer["statuses"].get("202", 0),
        sent_rate=sent / (options.warm_up + options.seconds),
    )


def _rows(file: Path) -> tuple[int, int]:
    """Count the messages and the deliveries that were sent, after the server was killed."""
    connection = sqlite3.connect(file)
    try:
        stored, sent = (
            int(connection.execute(f"SELECT count(*) FROM {rows}").fetchone()[0])
            for rows in ("message", "delivery WHERE status = 'sent'")
        )
    finally:
        connection.close()
    return stored, sent


def _print_side(side: str, runs: list[Run]) -> None:
    rates = [run.rate for run in runs]
    print(
        f"      {side:23}{statistics.median(rates):>11,.0f}"
        f"{f'{min(rates):,.0f} - {max(rates):,.0f}':>17}"
        f"{statistics.median(run.p50_ms for run in runs):>9.1f}"
        f"{statistics.median(run.p99_ms for run in runs):>9.1f}"
        f"{statistics.median(run.sent_rate for run in runs):>9,.0f}"
        f"  {'; '.join(_remarks(runs))}".rstrip()
    )


def _remarks(runs: list[Run]) -> Iterator[str]:
    """Say what spoils a measurement."""
    if lost := sum(run.lost_count for run in runs):
        yield f"LOST {lost} ACCEPTED MESSAGES"
    if refused := sum(run.refused_count for run in runs):
        yield f"{refused} answers were not 202"
    if max(run.generator_share for run in runs) > 0.9:
        yield "the load generator was the bottleneck"


def _print_head(options: argparse.Namespace, directory: Path) -> None:
    print(
        f"Accepted messages a second (202 answers) at {options.connections} keep-alive connections."
        f"\nSQLite {sqlite3.sqlite_version}, write-ahead log, synchronous=FULL. {options.rounds} "
        f"rounds of {options.seconds:g} s, the sides\ntaking turns, each in a process of its own. "
        f"Python {platform.python_version()}, {os.cpu_count()} processors, fdatasync here "
        f"{_sync_milliseconds(directory):.2f} ms."
    )


def _print_generator(options: argparse.Namespace, directory: Path) -> None:
    """Show that the generator can do more than it is asked for."""
    place = directory / "generator"
    place.mkdir()
    with server(BARE, place) as url:
        answer = load(
            f"{url}/v1/messages",
            "{}",
            connections=options.connections,
            warm_up=options.warm_up,
            seconds=1,
        )
    print(
        f"The load generator against a bare ASGI application: {answer['rate']:,.0f} requests/s "
        f"({answer['processor_share']:.0%} of one processor)."
    )


def _sync_milliseconds(directory: Path) -> float:
    """Measure what one synced write of a page costs on this disk: the median of fifty."""
    file, waits = directory / "sync", []
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        for _ in range(50):
            os.write(descriptor, bytes(4096))
            began = time.perf_counter()
            os.fdatasync(descriptor)
            waits.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
    return statistics.median(waits) * 1000


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.accept", description=__doc__)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=None, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=None, help="of each measurement")
    parser.add_argument("--warm-up", type=float, default=0.5, help="seconds before it")
    parser.add_argument("--full", action="store_true", help="5 rounds of 10 seconds")
    parser.add_argument(
        "--directory", type=Path, default=None, help="where the databases are made; a real disk"
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (5 if options.full else 3)
    options.seconds = options.seconds or (10.0 if options.full else 2.0)
    return options


if __name__ == "__main__":
    main()
