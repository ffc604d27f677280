"""Deliveries per second: Almenara's workers beside one Celery task for each delivery.

Both sides find the same rows in PostgreSQL, are rung over the same RabbitMQ, post to the same
receiver, and record each attempt. Both may use every processor of the machine, on which the
servers and the receiver run too. The clock runs from the moment at which all are due until the
last row is written.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.chaos.product import clean_environment
from bench.fleet.cores import used_seconds
from bench.fleet.programs import program
from bench.fleet.stage import CHANNEL, Place, Receiver, Stage
from bench.references.celery_plain import BROKER_VARIABLE, DATABASE_VARIABLE

#: Ours: one for each processor, and four times the default of sends, which is a sixth faster where
#: the receiver answers at once. The fastest that was tried.
PROCESSES, SENDS = 2, 256
#: The plain way's: twice Celery's own choice, and 1.07 times as fast; eight are no faster.
PLAIN_PROCESSES = 4
_PLAIN_WORKER = ("-m", "celery", "-A", "bench.references.celery_plain", "worker", "-l", "warning")
_PATIENCE_SECONDS = 900
#: Rows are written, and who rings for them is started, so long before they are due.
_AHEAD_SECONDS = 3.0
_STORED_PER_SECOND = 5_000


@dataclass(frozen=True)
class Rate:
    """How fast a side was."""

    per_second: float
    #: Processor time of one delivery in microseconds, by whose it was.
    costs: Mapping[str, float]


@dataclass(frozen=True)
class Side:
    """What delivers: a worker that runs, and who rings for it."""

    stage: Stage
    place: Place
    receiver: Receiver
    worker_pid: int
    channel: str
    ringer: Sequence[str]
    environ: Mapping[str, str]

    def deliver(self, count: int) -> float:
        """Deliver so many, and return how many seconds that took from when they were due."""
        due_at = self.place.rows.add_deliveries(
            self.channel, count, due_in_seconds=_AHEAD_SECONDS + count / _STORED_PER_SECOND
        )
        subprocess.run(
            [sys.executable, *self.ringer, str(due_at)],
            input="\n".join(self.place.rows.waiting_ids(self.channel)),
            env=clean_environment() | dict(self.environ),
            check=True,
            text=True,
        )
        while not self.place.rows.all_done():
            if time.time() - due_at > _PATIENCE_SECONDS:
                raise RuntimeError("it does not come to an end")
            time.sleep(0.02)
        return time.time() - due_at

    def measure(self, count: int) -> Rate:
        """Deliver some to warm up, then so many; check that each was sent and recorded once."""
        warm_up = max(1, count // 10)
        self.deliver(warm_up)
        roots = {
            "worker": self.worker_pid,
            "PostgreSQL": self.stage.postgres_pid,
            "receiver": self.receiver.pid,
        }
        before = {name: used_seconds(root) for name, root in roots.items()}
        seconds = self.deliver(count)
        costs = {
            name: (used_seconds(root) - before[name]) / count * 1e6 for name, root in roots.items()
        }
        self.check(count + warm_up)
        return Rate(count / seconds, costs)

    def check(self, count: int) -> None:
        """Look whether each of so many was sent and recorded once.

        Raises:
            RuntimeError: it was not.
        """
        outcome = self.place.rows.outcome()
        seen = (self.receiver.count, outcome.sent_count, outcome.attempt_count)
        if seen != (count,) * 3:
            raise RuntimeError(f"received, sent, attempts: {seen}, and not {count} each")


def almenara(
    stage: Stage,
    count: int,
    *,
    processes: int = PROCESSES,
    sends: int = SENDS,
    delay_seconds: float = 0.0,
) -> Rate:
    """Measure Almenara's workers, so many sends at once in each process."""
    with our_side(stage, processes=processes, sends=sends, delay_seconds=delay_seconds) as side:
        return side.measure(count)


@contextmanager
def our_side(
    stage: Stage, *, processes: int = PROCESSES, sends: int = SENDS, delay_seconds: float = 0.0
) -> Iterator[Side]:
    """Run Almenara's worker on a database of its own."""
    with (
        stage.receiver(delay_seconds) as receiver,
        stage.place(receiver, concurrency=sends) as place,
        stage.worker(place, processes=processes, sends=sends) as worker_pid,
    ):
        environ = dict(place.environ) | {"ALMENARA_BROKER_URL": stage.broker_url}
        ringer = ("-m", "bench.fleet.ringer", CHANNEL)
        yield Side(stage, place, receiver, worker_pid, CHANNEL, ringer, environ)


def plain(stage: Stage, count: int) -> Rate:
    """Measure the plain way."""
    with plain_side(stage) as side:
        return side.measure(count)


@contextmanager
def plain_side(stage: Stage) -> Iterator[Side]:
    """Run the plain way's worker on a database of its own."""
    with stage.receiver() as receiver, stage.place(receiver) as place:
        place.rows.add_plain_channel("plain", f"{receiver.url}/hook")
        environ = {BROKER_VARIABLE: stage.broker_url, DATABASE_VARIABLE: place.url}
        with _plain_worker(place, environ) as worker_pid:
            ringer = ("-m", "bench.fleet.plain_ringer")
            yield Side(stage, place, receiver, worker_pid, "plain", ringer, environ)


def plain_without_database(stage: Stage, count: int) -> float:
    """Measure the plain way where each message comes with its task, and nothing is recorded."""
    with stage.receiver() as receiver, stage.place(receiver) as place:
        environ = {BROKER_VARIABLE: stage.broker_url, DATABASE_VARIABLE: place.url}
        with _plain_worker(place, environ):
            for expected in (count // 10, count):
                already = receiver.count
                begun = time.time() + 1.0
                arguments = ("-m", "bench.fleet.plain_ringer", f"{receiver.url}/hook")
                subprocess.run(
                    [sys.executable, *arguments, str(expected), str(begun)],
                    stdin=subprocess.DEVNULL,
                    env=clean_environment() | environ,
                    check=True,
                )
                while receiver.count < already + expected:
                    time.sleep(0.02)
                seconds = time.time() - begun
            return count / seconds


def almenara_without_database(stage: Stage, count: int) -> float:
    """Measure Almenara's attempts alone: the same code, with nothing claimed or recorded."""
    with stage.receiver() as receiver:
        arguments = ("-m", "bench.fleet.alone", f"{receiver.url}/hook", str(count // PROCESSES))
        begun = time.time()
        running = [
            subprocess.Popen(
                [sys.executable, *arguments],
                env=clean_environment() | {"ALMENARA_EGRESS_ALLOW": "127.0.0.0/8"},
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(PROCESSES)
        ]
        seconds = [float(one.communicate()[0]) for one in running]
        if receiver.count < count or time.time() < begun:
            raise RuntimeError(f"{receiver.count} arrived, and not {count}")
        return count / max(seconds)


@contextmanager
def _plain_worker(place: Place, environ: Mapping[str, str]) -> Iterator[int]:
    """Run the plain way's worker, and give its process id."""
    arguments = [*_PLAIN_WORKER, "--concurrency", str(PLAIN_PROCESSES)]
    with program(arguments, output=place.directory / "worker.log", environ=environ) as process:
        yield process.pid
