"""FI-08: restarted by SIGTERM under load, again and again: nothing is lost, nothing sent twice."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence

from bench.chaos.client import Client
from bench.chaos.product import Product
from bench.chaos.scenario import Row, Size
from bench.chaos.stage import Stage

_SQLITE = {Size.PR: 3, Size.FULL: 50}
_POSTGRES = {Size.PR: 2, Size.FULL: 50}
#: So long between two restarts, in seconds.
_REST = 0.5


async def restarts_on_sqlite(stage: Stage, size: Size) -> Row:
    """Restart the one process on SQLite; requests meanwhile find nobody, and are repeated."""
    return await _restart(stage, [stage.product()], _SQLITE[size], "restart-sqlite")


async def restarts_on_postgres(stage: Stage, size: Size) -> Row:
    """Restart two processes on one PostgreSQL by turns, as a rolling update does."""
    cluster = await stage.cluster()
    products = [stage.product(name=name, database_url=cluster.url) for name in ("one", "other")]
    return await _restart(stage, products, _POSTGRES[size], "restart-postgres")


async def _restart(stage: Stage, products: Sequence[Product], count: int, scenario: str) -> Row:
    codes: list[int | None] = []
    stop_seconds: list[float] = []
    signals: list[float] = []
    for product in products:
        await product.start()
    await stage.furnish(products[0])
    client = stage.client(*products)
    async with client.sending():
        for number in range(count):
            await asyncio.sleep(_REST)
            product = products[number % len(products)]
            signals.append(time.monotonic())
            product.signal(signal.SIGTERM)
            codes.append(await product.ended())
            stop_seconds.append(time.monotonic() - signals[-1])
            await product.start()
            stage.say(f"{number + 1} of {count} restarts, {client.accepted_count} accepted")
        await asyncio.sleep(_REST)
    verdict = await stage.verdict(products[0])
    row = Row.of(verdict, scenario=scenario, faults=f"{count} restarts", fault_count=count)
    # What senders see of it: the longest that nothing was accepted.
    row.worst_recovery_seconds = round(client.longest_silence, 2)
    taken = _refused_though_taken(client, signals)
    row.figures |= {
        "slowest_stop_seconds": round(max(stop_seconds), 2),
        "refused_though_taken": taken,
        "refused_later": len(client.refused) - taken,
    }
    if set(codes) != {0}:
        row.failures.append(f"exit codes other than 0: {[code for code in codes if code != 0]}")
    if taken:
        row.failures.append(f"{taken} requests sent before the signal were answered by a 5xx")
    if verdict.duplicated:
        row.failures.append(f"{verdict.duplicated} duplicates, where there may be none")
    return row


def _refused_though_taken(client: Client, signals: Sequence[float]) -> int:
    """Count the requests that were sent before a signal and answered by a 5xx after it."""
    return sum(
        any(sent_at <= moment <= answered_at for moment in signals)
        for sent_at, answered_at in client.refused
    )
