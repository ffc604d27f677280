"""FI-10: the disk is filled from outside, and freed: no 202 that is not stored, no duplicate."""

from __future__ import annotations

import asyncio
import time

from bench.chaos.scenario import Row, Size
from bench.chaos.stage import Stage

_CYCLES = {Size.PR: 1, Size.FULL: 10}
#: How long it stays full after the first request was refused, in seconds: longer than a lease.
_FULL_SECONDS = {Size.PR: 1.0, Size.FULL: 35.0}
#: The write-ahead log has room of its own: it may take some seconds until a request is refused.
_PATIENCE_SECONDS = 30
_REST = 1.0


async def disk_full(stage: Stage, size: Size) -> Row:
    """Fill the product's disk and free it again, by turns, without a restart."""
    disk = stage.small_disk(megabytes=64)
    product = stage.product(directory=disk.directory / "product")
    await product.start()
    await stage.furnish(product)
    # Gently: what is accepted in all cycles together must fit on the disk.
    client = stage.client(product, senders=8, pause_seconds=0.05)
    recoveries: list[float] = []
    freed: list[float] = []
    failures: list[str] = []
    async with client.sending():
        for cycle in range(_CYCLES[size]):
            await asyncio.sleep(_REST)
            refused = len(client.refused)
            stage.journal.write("disk full", pid=product.pid)
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while len(client.refused) == refused and time.monotonic() < deadline:
                await asyncio.to_thread(disk.fill)
                await asyncio.sleep(0.05)
            if len(client.refused) == refused:
                failures.append("the disk was full, and nothing was refused: the bench is broken")
            stage.say(f"full for the {cycle + 1}. time, {client.accepted_count} accepted")
            await asyncio.sleep(_FULL_SECONDS[size])
            disk.free()
            freed.append(time.monotonic())
            stage.journal.write("disk freed", pid=product.pid)
            recovery = await client.next_accepted()
            if recovery is None:
                failures.append("nothing was accepted any more after the disk was freed")
                break
            recoveries.append(recovery)
        await asyncio.sleep(_REST)
    verdict = await stage.verdict(product)
    count = _CYCLES[size]
    row = Row.of(verdict, scenario="disk-full", faults=f"{count} times full", fault_count=count)
    recoveries += stage.first_arrivals(freed)
    row.worst_recovery_seconds = round(max(recoveries), 2) if recoveries else None
    row.figures["answers"] = dict(client.answers)
    row.failures += failures
    if verdict.duplicated:
        row.failures.append(f"{verdict.duplicated} duplicates, where there may be none")
    if client.answers["500"]:
        row.failures.append(f"{client.answers['500']} answers were 500 instead of 503")
    return row
