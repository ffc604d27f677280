"""`make bench-fleet`: what a fleet delivers and accepts, beside the plain way with Celery.

Everything runs on this machine: PostgreSQL with its defaults on a disk of the bench's own, a
virtual host of the RabbitMQ that is there, the receiver. The sides take turns, so that what else
the machine does meets both; each round is measured on a new database.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.fleet import deliver
from bench.fleet.accept import WAYS, accept
from bench.fleet.backlog import drain
from bench.fleet.broker import DEFAULT_URL
from bench.fleet.stage import Stage

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    ours: int
    plain: int
    waiting: int
    accept_seconds: float
    backlog: int


SIZES = {
    "test": Size(1, ours=200, plain=60, waiting=128, accept_seconds=0.5, backlog=400),
    "quick": Size(3, ours=12_000, plain=1_500, waiting=2_000, accept_seconds=4, backlog=50_000),
    "full": Size(5, ours=30_000, plain=4_000, waiting=6_000, accept_seconds=8, backlog=1_000_000),
}


class Bench:
    """Measures, and prints as it goes."""

    def __init__(self, stage: Stage, size: Size) -> None:
        self._stage = stage
        self._size = size

    def deliveries(self) -> None:
        """Compare Almenara's workers with one task for each delivery."""
        print("\nDeliveries a second, all stored and recorded in PostgreSQL")
        ours: list[deliver.Rate] = []
        plain: list[deliver.Rate] = []
        for _ in range(self._size.rounds):
            ours.append(deliver.almenara(self._stage, self._size.ours))
            plain.append(deliver.plain(self._stage, self._size.plain))
        self._compare(
            ("Almenara's workers", [one.per_second for one in ours]),
            ("one task for each", [one.per_second for one in plain]),
        )
        for name, rates in (("Almenara", ours), ("one task for each", plain)):
            costs = ", ".join(
                f"{whose} {statistics.median(one.costs[whose] for one in rates):,.0f}"
                for whose in rates[0].costs
            )
            print(f"      processor time of one by {name}, in us: {costs}")

    def without_database(self) -> None:
        """Compare the same where nothing is stored or recorded."""
        print("\nThe same without the database: attempts alone, and messages that come with a task")
        self._alternate(
            ("Almenara's attempts", lambda: self._alone(deliver.almenara_without_database)),
            (
                "one task for each",
                lambda: deliver.plain_without_database(self._stage, self._size.plain),
            ),
        )

    def processes(self) -> None:
        """Compare one process with two, where the receiver takes its time."""
        print("\nDeliveries a second to a receiver that takes 200 ms, 64 sends in each process")

        def waiting(processes: int) -> float:
            return deliver.almenara(
                self._stage, self._size.waiting, processes=processes, sends=64, delay_seconds=0.2
            ).per_second

        self._alternate(("two processes", lambda: waiting(2)), ("one process", lambda: waiting(1)))

    def accepting(self) -> None:
        """Compare what is accepted with a broker, without, and while it is down."""
        print("\nAccepted messages a second on PostgreSQL")
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(self._size.rounds):
            for way in WAYS:
                rates[way].append(accept(self._stage, way, self._size.accept_seconds).per_second)
        first, *others = WAYS
        for way in others:
            self._compare((way, rates[way]), (first, rates[first]))

    def backlog(self) -> None:
        """Drain a backlog."""
        count = self._size.backlog
        print(f"\nA backlog of {count:,} deliveries that are due at once")
        drained = drain(self._stage, count)
        print(f"      drained in {drained.seconds:,.0f} s, {drained.per_second:,.0f} a second")
        if drained.claims_ms:
            print(f"      a claim at the end beside one at the start: {drained.slower:.2f}")
            for whose in drained.memory:
                growth = drained.growth_bytes(whose) / _MEBIBYTE
                print(f"      memory of the {whose}: {growth:+.1f} MiB after its first tenth")

    def _alone(self, measure: Callable[[Stage, int], float]) -> float:
        return measure(self._stage, self._size.ours)

    def _alternate(
        self, one: tuple[str, Callable[[], float]], other: tuple[str, Callable[[], float]]
    ) -> None:
        rates: tuple[list[float], list[float]] = ([], [])
        for _ in range(self._size.rounds):
            rates[0].append(one[1]())
            rates[1].append(other[1]())
        self._compare((one[0], rates[0]), (other[0], rates[1]))

    def _compare(self, one: tuple[str, list[float]], other: tuple[str, list[float]]) -> None:
        for name, rates in (one, other):
            spread = f"{min(rates):,.0f} - {max(rates):,.0f}"
            print(f"      {name:24}{statistics.median(rates):>10,.0f}{spread:>20}")
        ratios = [mine / theirs for mine, theirs in zip(one[1], other[1], strict=True)]
        rounds = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"      ratio {statistics.median(ratios):.2f} (round by round: {rounds})", flush=True)


#: What can be measured, by the name that chooses it.
PARTS: dict[str, Callable[[Bench], None]] = {
    "deliveries": Bench.deliveries,
    "without-database": Bench.without_database,
    "processes": Bench.processes,
    "accepting": Bench.accepting,
    "backlog": Bench.backlog,
}


def main() -> None:
    """Measure what is asked for."""
    options = _options()
    begun = time.monotonic()
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} "
        f"processors, {platform.system()} {platform.release()}, size {options.size}"
    )
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="almenara-bench-") as name:
        # PostgreSQL's own user must get in.
        directory = Path(name)
        directory.chmod(0o755)
        stage = Stage(
            directory, broker_url=options.broker_url, own_broker_url=options.own_broker_url
        )
        try:
            bench = Bench(stage, SIZES[options.size])
            for part in options.parts or PARTS:
                PARTS[part](bench)
        except psycopg.OperationalError as error:
            # The directory goes; what the database said of its end would go with it. A note is
            # printed last, where whoever cuts a long output leaves it.
            error.add_note(f"The last words of the database:\n{stage.last_words()}")
            raise
        finally:
            stage.close()
    print(f"\n{time.monotonic() - begun:,.0f} s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.fleet", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--size", choices=SIZES, default="quick")
    parser.add_argument("--directory", help="where the databases lie; the system's own if absent")
    parser.add_argument("--broker-url", default=DEFAULT_URL, help="a RabbitMQ on this machine")
    parser.add_argument("--own-broker-url", help="an unused virtual host, instead of a new one")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return options


if __name__ == "__main__":
    main()
