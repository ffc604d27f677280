"""FI-09: PostgreSQL is restarted, killed and away, while the product stays up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from bench.chaos.postgres import Cluster
from bench.chaos.scenario import Row, Size
from bench.chaos.stage import Stage

#: So many of each kind, and how long the server is away at the end, in seconds.
_COUNTS = {
    Size.PR: {"fast": 1, "immediate": 0, "backend": 1, "storm": 0},
    Size.FULL: {"fast": 20, "immediate": 20, "backend": 20, "storm": 20},
}
_AWAY_SECONDS = {Size.PR: 0, Size.FULL: 180}
_REST = 0.7


async def postgres_faults(stage: Stage, size: Size) -> Row:
    """Hurt PostgreSQL in each way by turns, and measure how soon the next message is accepted."""
    cluster = await stage.cluster()
    product = stage.product(database_url=cluster.url)
    await product.start()
    await stage.furnish(product)
    faults = _faults(cluster, size)
    client = stage.client(product)
    recoveries: dict[str, list[float]] = {}
    back: list[float] = []
    failures = []
    async with client.sending():
        for number, (name, fault) in enumerate(faults):
            await asyncio.sleep(_REST)
            stage.say(f"{number + 1} of {len(faults)}: {name}, {client.accepted_count} accepted")
            await fault()
            await cluster.back()
            back.append(time.monotonic())
            recovery = await client.next_accepted()
            if recovery is None:
                failures.append(f"nothing was accepted any more after {name}")
                break
            recoveries.setdefault(name, []).append(recovery)
        await asyncio.sleep(_REST)
    verdict = await stage.verdict(product)
    row = Row.of(
        verdict,
        scenario="postgres-faults",
        faults=_in_words(recoveries),
        fault_count=len(faults),
    )
    sends = stage.first_arrivals(back)
    waits = [*sends, *(wait for many in recoveries.values() for wait in many)]
    row.worst_recovery_seconds = round(max(waits), 2)
    row.figures |= {
        "worst_first_send_seconds": round(max(sends), 2) if sends else None,
        "worst_recovery_by_fault": {name: round(max(many), 2) for name, many in recoveries.items()},
        "answers": dict(client.answers),
        "late": verdict.late,
    }
    row.failures += failures
    if client.answers["500"]:
        row.failures.append(f"{client.answers['500']} answers were 500 instead of 503")
    return row


def _faults(cluster: Cluster, size: Size) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
    """Return the faults of this size, by turns."""

    def restart(mode: str, seconds: float = 0.0) -> Callable[[], Awaitable[None]]:
        async def fault() -> None:
            await cluster.stop(mode)
            await asyncio.sleep(seconds)
            await cluster.start()

        return fault

    ways = {
        "fast": ("restart -m fast", restart("fast")),
        "immediate": ("restart -m immediate", restart("immediate")),
        "backend": ("kill -9 of a backend", cluster.kill_backend),
        "storm": ("pg_terminate_backend", cluster.terminate_backends),
    }
    counts = _COUNTS[size]
    faults = [
        ways[way]
        for turn in range(max(counts.values()))
        for way, count in counts.items()
        if turn < count
    ]
    if _AWAY_SECONDS[size]:
        away = _AWAY_SECONDS[size]
        faults.append((f"away for {away} s", restart("fast", away)))
    return faults


def _in_words(recoveries: dict[str, list[float]]) -> str:
    return ", ".join(f"{len(many)} {name}" for name, many in recoveries.items())
