"""FI-04: one of two processes is frozen for two leases: what it says late moves nothing."""

from __future__ import annotations

import asyncio
import signal

from bench.chaos.postgres import Cluster
from bench.chaos.product import Product
from bench.chaos.scenario import Row, Size
from bench.chaos.stage import Stage

_FREEZES = {Size.PR: 1, Size.FULL: 3}
#: Two leases of the product.
_FROZEN_SECONDS = 60
#: So slow that attempts are always under way.
_SINK_SECONDS = 0.3
#: So often it is tried to freeze a process inside a transaction.
_TRIES = 200
_IDLE = """
SELECT pid, xact_start FROM pg_stat_activity
WHERE application_name LIKE 'almenara%' AND state = 'idle in transaction'
"""


async def freezes(stage: Stage, size: Size) -> Row:
    """Freeze one of two processes on one PostgreSQL, and let it go on after two leases."""
    cluster, count = await stage.cluster(), _FREEZES[size]
    products = [stage.product(name=name, database_url=cluster.url) for name in ("frozen", "other")]
    frozen, other = products
    for product in products:
        await product.start()
    await stage.furnish(other)
    stage.sink.behave(delay_seconds=_SINK_SECONDS)
    client = stage.client(*products, senders=16, pause_seconds=0.3)
    silences, inside = [], 0
    async with client.sending():
        for number in range(count):
            await asyncio.sleep(3)
            client.longest_silence = 0.0
            held = await _freeze(frozen, cluster, inside=number % 2 == 0)
            inside += held
            for second in range(_FROZEN_SECONDS):
                await asyncio.sleep(1)
                stage.say(
                    f"{number + 1} of {count} freezes, {second + 1} s of {_FROZEN_SECONDS}, "
                    f"{client.accepted_count} accepted"
                )
            silences.append(client.longest_silence)
            frozen.signal(signal.SIGCONT)
            await asyncio.sleep(5)
    stage.sink.behave()
    verdict = await stage.verdict(other)
    row = Row.of(verdict, scenario="freeze", faults=f"{count} freezes", fault_count=count)
    row.worst_recovery_seconds = None
    row.figures |= {
        "frozen_inside_a_transaction": inside,
        "late_results": verdict.late,
        "unknown_attempts": verdict.unknown,
        "longest_silence_seconds": round(max(silences), 1),
        "answers": dict(client.answers),
    }
    if not verdict.late:
        row.failures.append("no result came late: the freeze met nothing under way")
    return row


async def _freeze(frozen: Product, cluster: Cluster, *, inside: bool) -> bool:
    """Freeze a process, and tell whether it stands inside a transaction.

    Args:
        inside: try again until it does: what it has locked then stays locked.
    """
    for _ in range(_TRIES):
        frozen.signal(signal.SIGSTOP)
        if not inside or await _in_transaction(cluster):
            return inside
        frozen.signal(signal.SIGCONT)
        await asyncio.sleep(0.05)
    frozen.signal(signal.SIGSTOP)
    return False


async def _in_transaction(cluster: Cluster) -> bool:
    """Tell whether a transaction stands still; one of the living process would move on."""
    before = await cluster.execute(_IDLE)
    await asyncio.sleep(0.2)
    after = await cluster.execute(_IDLE)
    return bool({tuple(row) for row in before} & {tuple(row) for row in after})
