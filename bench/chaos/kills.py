"""FI-01 and FI-02: kill -9 at random moments under load, restarted at once."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bench.chaos.postgres import Cluster
from bench.chaos.product import Product
from bench.chaos.scenario import Row, Size
from bench.chaos.stage import Stage


@dataclass(frozen=True)
class _Amount:
    kills: int
    accepted: int
    longest_seconds: float


_SQLITE = {Size.PR: _Amount(8, 0, 0.6), Size.FULL: _Amount(130, 65_000, 2.0)}
_POSTGRES = {Size.PR: _Amount(3, 0, 0.6), Size.FULL: _Amount(70, 35_000, 2.0)}

_SENDING = "SELECT count(*) FROM delivery WHERE status = 'sending'"


async def kills_on_sqlite(stage: Stage, size: Size) -> Row:
    """Kill the process on SQLite; the file is checked after each kill, beside the restart."""
    amount, product = _SQLITE[size], stage.product()
    damaged: list[str] = []
    checks: list[asyncio.Task[None]] = []

    async def after_kill() -> int:
        copy = await asyncio.to_thread(_copied, product.database_file)
        in_flight = await asyncio.to_thread(_count_sending, copy)
        checks.append(asyncio.create_task(asyncio.to_thread(_check_file, copy, damaged)))
        return in_flight

    row = await _kill_again_and_again(stage, product, amount, "kill-sqlite", after_kill)
    await asyncio.gather(*checks)
    row.figures["integrity_checks"] = len(checks)
    row.failures += damaged
    return row


async def kills_on_postgres(stage: Stage, size: Size) -> Row:
    """Kill the process on PostgreSQL; what it held comes back when its lease has ended."""
    amount, cluster = _POSTGRES[size], await stage.cluster()
    product = stage.product(database_url=cluster.url)
    killed = 0

    async def after_kill() -> int:
        nonlocal killed
        killed += 1
        in_flight = await _count_sending_since(cluster, product.started_at)
        if size is Size.PR and killed == amount.kills:
            # Nobody lives who could hold them: as if the thirty seconds had been waited for.
            await cluster.execute(
                "UPDATE delivery SET lease_until = now() - interval '1 second' "
                "WHERE status = 'sending'"
            )
        return in_flight

    return await _kill_again_and_again(stage, product, amount, "kill-postgres", after_kill)


async def _kill_again_and_again(
    stage: Stage,
    product: Product,
    amount: _Amount,
    scenario: str,
    after_kill: Callable[[], Awaitable[int]],
) -> Row:
    chance = random.Random(scenario)
    ready_seconds = []
    await product.start()
    await stage.furnish(product)
    client = stage.client(product)
    async with client.sending():
        for number in range(amount.kills):
            await asyncio.sleep(chance.uniform(0.2, amount.longest_seconds))
            product.kill()
            stage.journal.write("killed", pid=product.pid, in_flight=await after_kill())
            ready_seconds.append(await product.start())
            stage.say(f"{number + 1} of {amount.kills} kills, {client.accepted_count} accepted")
        while client.accepted_count < amount.accepted:
            await asyncio.sleep(0.5)
            stage.say(f"{client.accepted_count} of {amount.accepted} accepted")
    verdict = await stage.verdict(product)
    row = Row.of(
        verdict, scenario=scenario, faults=f"{amount.kills} kills", fault_count=amount.kills
    )
    row.figures |= {
        "most_in_flight_at_a_kill": verdict.most_in_flight,
        "unknown_attempts": verdict.unknown,
        "held_as_poison_and_released": stage.released_count,
        "slowest_ready_seconds": round(max(ready_seconds), 2),
        "requests_without_answer": client.answers["none"],
    }
    return row


def _copied(file: Path) -> Path:
    """Copy a database and its log, so that looking at it changes nothing for the product."""
    memory = Path("/dev/shm")
    directory = Path(
        tempfile.mkdtemp(prefix="almenara-chaos-", dir=memory if memory.is_dir() else file.parent)
    )
    for part in (file, file.with_name(f"{file.name}-wal")):
        if part.exists():
            shutil.copy(part, directory)
    return directory / file.name


def _count_sending(file: Path) -> int:
    connection = sqlite3.connect(file)
    try:
        return int(connection.execute(_SENDING).fetchone()[0])
    finally:
        connection.close()


def _check_file(file: Path, damaged: list[str]) -> None:
    connection = sqlite3.connect(file)
    try:
        answer = connection.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        answer = str(error)
    finally:
        connection.close()
        shutil.rmtree(file.parent)
    if answer != "ok":
        damaged.append(f"the database is damaged: {answer}")


async def _count_sending_since(cluster: Cluster, started_at: float) -> int:
    """Count what the killed process held, once the server has noticed its end."""
    for _ in range(100):
        if not await cluster.sessions():
            break
        await asyncio.sleep(0.02)
    [row] = await cluster.execute(f"{_SENDING} AND started_at >= to_timestamp($1)", started_at)
    return int(row[0])
