"""FI-11: the power is cut under load; the control, which does not sync, must lose something."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable

from bench.chaos.client import Client
from bench.chaos.mounts import PowerDisk
from bench.chaos.product import Product
from bench.chaos.scenario import Row, Size
from bench.chaos.stage import Stage

_SQLITE = {Size.PR: 2, Size.FULL: 100}
_POSTGRES = {Size.PR: 1, Size.FULL: 20}
_CONTROL = {Size.PR: 2, Size.FULL: 10}
#: The product with `synchronous=NORMAL`, which it has no setting for.
_CARELESS = ("-m", "bench.chaos.control_launcher", "serve")
_MEGABYTES = 2048
#: A cut waits for so many more 202s: without any at stake, it shows nothing.
_AT_LEAST = 25


async def cuts_on_sqlite(stage: Stage, size: Size) -> Row:
    """Cut the power of SQLite's disk."""
    disk = stage.power_disk(megabytes=_MEGABYTES)
    product = stage.product(directory=disk.directory / "product")
    return await _cut_again_and_again(stage, disk, product, _SQLITE[size], "power-sqlite")


async def cuts_on_postgres(stage: Stage, size: Size) -> Row:
    """Cut the power of PostgreSQL's disk, and kill its server with the product."""
    disk = stage.power_disk(megabytes=_MEGABYTES)
    cluster = await stage.cluster(disk.directory / "postgres")
    product = stage.product(database_url=cluster.url)

    async def kill_server() -> None:
        await asyncio.to_thread(cluster.close)

    return await _cut_again_and_again(
        stage,
        disk,
        product,
        _POSTGRES[size],
        "power-postgres",
        before_unmount=kill_server,
        after_mount=cluster.start,
    )


async def cuts_of_the_control(stage: Stage, size: Size) -> Row:
    """Cut the power of a product that does not sync its commits: it must be seen to lose."""
    disk = stage.power_disk(megabytes=_MEGABYTES)
    product = stage.product(directory=disk.directory / "product", program=_CARELESS)
    row = await _cut_again_and_again(stage, disk, product, _CONTROL[size], "power-control")
    row.figures["broken_as_expected"] = row.failures
    row.failures = []
    if not row.lost:
        row.failures.append("the control lost nothing: this bench cannot see a loss")
    return row


async def _nothing() -> None:
    """Do nothing: SQLite has no server of its own."""


async def _cut_again_and_again(
    stage: Stage,
    disk: PowerDisk,
    product: Product,
    cuts: int,
    scenario: str,
    *,
    before_unmount: Callable[[], Awaitable[None]] = _nothing,
    after_mount: Callable[[], Awaitable[None]] = _nothing,
) -> Row:
    chance = random.Random(scenario)
    await product.start()
    await stage.furnish(product)
    # The set-up itself is to survive: it is not what is tested, and the control cannot keep it.
    await asyncio.to_thread(os.sync)
    client: Client = stage.client(product)
    async with client.sending():
        for number in range(cuts):
            await asyncio.sleep(chance.uniform(0.2, 1.0))
            await client.accepts(_AT_LEAST)
            disk.cut()
            stage.journal.write("power cut", pid=product.pid)
            product.kill()
            await before_unmount()
            await asyncio.to_thread(disk.unmount)
            await asyncio.to_thread(disk.mount)
            await after_mount()
            await product.start()
            stage.say(f"{number + 1} of {cuts} cuts, {client.accepted_count} accepted")
        await asyncio.sleep(0.2)
    verdict = await stage.verdict(product)
    row = Row.of(verdict, scenario=scenario, faults=f"{cuts} power cuts", fault_count=cuts)
    row.figures |= {
        "unknown_attempts": verdict.unknown,
        "held_as_poison_and_released": stage.released_count,
    }
    return row
