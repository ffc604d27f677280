"""FI-16: clients that go away at a random byte, or as soon as the request is sent."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sqlite3
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.chaos.client import repeat
from bench.chaos.figures import percentile
from bench.chaos.log_reader import stories
from bench.chaos.postgres import Cluster
from bench.chaos.product import Product
from bench.chaos.scenario import Row, Size
from bench.chaos.stage import Stage

_CLIENTS = {Size.PR: 500, Size.FULL: 10_000}
#: So many are there at once.
_CROWD = 50
#: So many of the whole requests are repeated afterwards, under their keys.
_REPEATED = 100
#: The longest that a client stays after its last byte, in seconds.
_LONGEST_STAY = 0.02
_NO_TRANSACTION = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name LIKE 'almenara%' AND state LIKE 'idle in transaction%'
"""


@dataclass
class _Storm:
    """The clients of one run, and what they sent."""

    chance: random.Random
    #: Keys of requests that were cut, and of those that were sent to their last byte.
    cut: set[str] = field(default_factory=set)
    whole: list[str] = field(default_factory=list)
    #: How long the first request after each crowd took, in seconds.
    waits: list[float] = field(default_factory=list)

    async def crowd(self, product: Product, first: int) -> None:
        """Let a crowd come and go, then measure how long the next request takes."""
        keys = [f"storm-{first + number}" for number in range(_CROWD)]
        await asyncio.gather(*(self._come_and_go(product.port, key) for key in keys))
        began = time.monotonic()
        await repeat(product.url, f"after-{first}", topic="chaos")
        self.waits.append(time.monotonic() - began)

    async def _come_and_go(self, port: int, key: str) -> None:
        request = _request(key)
        whole = self.chance.random() < 0.5
        count = len(request) if whole else self.chance.randrange(len(request))
        (self.whole.append if whole else self.cut.add)(key)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(OSError):
            writer.write(request[:count])
            await writer.drain()
            await asyncio.sleep(self.chance.uniform(0, _LONGEST_STAY))
        if self.chance.random() < 0.5:
            # Not even a proper farewell.
            linger = struct.pack("ii", 1, 0)
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()


async def disconnects_on_sqlite(stage: Stage, size: Size) -> Row:
    """Let clients of a server on SQLite go away at every byte of their requests."""
    product = stage.product()

    async def open_transactions() -> int:
        return await asyncio.to_thread(_locked, product.database_file)

    return await _storm(stage, size, product, "disconnect-sqlite", open_transactions)


async def disconnects_on_postgres(stage: Stage, size: Size) -> Row:
    """Let clients of a server on PostgreSQL go away at every byte of their requests."""
    cluster: Cluster = await stage.cluster()
    product = stage.product(database_url=cluster.url)

    async def open_transactions() -> int:
        [row] = await cluster.execute(_NO_TRANSACTION)
        return int(row[0])

    return await _storm(stage, size, product, "disconnect-postgres", open_transactions)


async def _storm(
    stage: Stage,
    size: Size,
    product: Product,
    scenario: str,
    open_transactions: Callable[[], Awaitable[int]],
) -> Row:
    await product.start()
    await stage.furnish(product)
    storm, count = _Storm(random.Random(scenario)), _CLIENTS[size]
    client = stage.client(product, senders=2, pause_seconds=0.1)
    async with client.sending():
        for first in range(0, count, _CROWD):
            stage.journal.write("crowd", pid=product.pid, clients=_CROWD)
            await storm.crowd(product, first)
            stage.say(f"{first + _CROWD} of {count} clients, {client.accepted_count} accepted")
    ready = await product.ready()
    again = storm.whole[:_REPEATED]
    replayed = sum([await repeat(product.url, key, topic="chaos") for key in again])
    verdict = await stage.verdict(product)
    still_open = await open_transactions()
    messages = [one async for one in stories(product.url, topic="chaos")]
    stored = {one["reference"] for one in messages}
    row = Row.of(
        verdict, scenario=scenario, faults=f"{count} clients that went away", fault_count=count
    )
    row.worst_recovery_seconds = round(max(storm.waits), 3)
    row.figures |= {
        "cut_requests": len(storm.cut),
        "whole_requests_nobody_waited_for": len(storm.whole),
        "of_these_stored": len(stored.intersection(storm.whole)),
        "repeated_afterwards": len(again),
        "of_these_answered_by_the_first": replayed,
        "next_request_p95_ms": percentile(storm.waits, 95),
    }
    half_written = sum(not one["deliveries"] for one in messages)
    if half_written:
        row.failures.append(f"{half_written} messages were stored without their delivery")
    if stored & storm.cut:
        row.failures.append(f"{len(stored & storm.cut)} requests were stored that never came whole")
    if still_open:
        row.failures.append(f"{still_open} transactions were left open")
    if not ready:
        row.failures.append("the server was not ready any more")
    return row


def _request(key: str) -> bytes:
    body = json.dumps({"topic": "chaos", "description": f"This is {key}.", "reference": key})
    return (
        "POST /v1/messages HTTP/1.1\r\nHost: almenara\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _locked(file: Path) -> int:
    """Tell whether anybody holds a lock on the database: a writer's, or a reader's of its log."""
    connection = sqlite3.connect(file, timeout=5, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        [busy, _, _] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return int(busy)
    except sqlite3.OperationalError:
        return 1
    finally:
        connection.close()
