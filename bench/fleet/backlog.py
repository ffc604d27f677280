"""A backlog: as many deliveries as one likes are due at once, and are drained.

Two things must not grow with it: how long the statement takes that claims, and the memory of the
server and of the workers.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

import psycopg

from bench.fleet.cores import resident_bytes
from bench.fleet.deliver import our_side
from bench.fleet.programs import served
from bench.fleet.stage import CHANNEL, SERVE, Stage

#: What has been sent is counted, and memory is read, so often, in seconds.
_LOOK_SECONDS = 1.0
#: This part of the looks is its beginning, and its end.
_PART = 10


@dataclass
class Drained:
    """What was seen."""

    count: int
    seconds: float = 0.0
    #: The mean time of a claim in milliseconds, look by look.
    claims_ms: list[float] = field(default_factory=list)
    #: The memory of each process in bytes, look by look.
    memory: dict[str, list[int]] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """How many were sent in a second."""
        return self.count / self.seconds

    @property
    def slower(self) -> float:
        """How many times longer a claim takes at the end than at the start, by the medians."""
        part = max(1, len(self.claims_ms) // _PART)
        first, last = self.claims_ms[:part], self.claims_ms[-part:]
        return statistics.median(last) / statistics.median(first)

    def growth_bytes(self, whose: str) -> int:
        """Return how much more memory was in use than after the first tenth."""
        seen = self.memory[whose]
        part = max(1, len(seen) // _PART)
        return max(seen[part:], default=0) - max(seen[:part])


def drain(stage: Stage, count: int) -> Drained:
    """Drain a backlog of so many deliveries."""
    with our_side(stage) as side:
        environ = side.environ
        with served(SERVE, output=side.place.directory / "api.log", environ=environ) as (_, api):
            side.deliver(2_000)
            drained = Drained(count)
            pids = {"API": api, "workers": side.worker_pid}
            with psycopg.connect(side.place.url, autocommit=True) as connection:
                connection.execute("CREATE EXTENSION pg_stat_statements")
                due_at = side.place.rows.add_deliveries(
                    CHANNEL, count, due_in_seconds=3.0 + count / 8_000
                )
                connection.execute("SELECT pg_stat_statements_reset()")
                time.sleep(max(0.0, due_at - time.time()))
                while not side.place.rows.all_done():
                    _look(drained, connection, pids)
            drained.seconds = time.time() - due_at
    return drained


def _look(drained: Drained, connection: psycopg.Connection, pids: dict[str, int]) -> None:
    """Note how long claims took since the last look, and how much memory is in use."""
    time.sleep(_LOOK_SECONDS)
    row = connection.execute(
        "SELECT COALESCE(sum(calls), 0), COALESCE(sum(total_exec_time), 0) FROM pg_stat_statements"
        " WHERE query LIKE '%WITH due AS MATERIALIZED%'"
    ).fetchone()
    connection.execute("SELECT pg_stat_statements_reset()")
    assert row is not None
    if row[0]:
        drained.claims_ms.append(float(row[1]) / int(row[0]))
    for name, pid in pids.items():
        drained.memory.setdefault(name, []).append(resident_bytes(pid))
