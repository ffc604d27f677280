"""FI-04, FI-05, FI-09 with workers: they are killed and frozen, and so is their database."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.chaos.postgres import Cluster
from bench.chaos.product import Product
from bench.chaos.rabbit import Broker
from bench.chaos.scenario import Row, Size
from bench.chaos.stage import Stage
from bench.chaos.workers import Worker

#: So slow that attempts are always under way.
_SINK_SECONDS = 0.1
#: So slow that every slot is taken.
_SLOW_SECONDS = 2.0
_KILLS = {Size.PR: (2, 1), Size.FULL: (40, 15)}
_FREEZES = {Size.PR: 1, Size.FULL: 3}
#: Longer than a lease, and than anybody waits to take its claims over.
_FROZEN_SECONDS = 45
_RESTARTS = {Size.PR: 1, Size.FULL: 10}
_REST_SECONDS = {Size.PR: 1.0, Size.FULL: 1.5}


@dataclass
class Fleet:
    """One API that only receives, two workers, PostgreSQL and RabbitMQ, each of its own."""

    api: Product
    workers: list[Worker]
    cluster: Cluster
    broker: Broker

    async def start(self, stage: Stage) -> None:
        """Start the API and the workers, and furnish them."""
        await self.api.start()
        await stage.furnish(self.api)
        await asyncio.gather(*(worker.start() for worker in self.workers))


async def made(
    stage: Stage, *, broker: Broker | None = None, broker_url: str | None = None
) -> Fleet:
    """Make a fleet; its servers run, the API and the workers are not started yet.

    Args:
        broker: one that runs already.
        broker_url: where the product looks for the broker; the broker itself when absent.
    """
    cluster, broker = await stage.cluster(), broker or await stage.broker()
    api = stage.product(
        database_url=cluster.url, environ={"ALMENARA_BROKER_URL": broker_url or broker.url}
    )
    workers = [stage.worker(api, name=f"worker-{number}") for number in (1, 2)]
    return Fleet(api, workers, cluster, broker)


async def fleet_kills(stage: Stage, size: Size) -> Row:
    """Kill processes of the workers' pools, and whole workers, in the middle of sends."""
    fleet = await made(stage)
    await fleet.start(stage)
    stage.sink.behave(delay_seconds=_SINK_SECONDS)
    children, workers = _KILLS[size]
    kinds = ["child"] * children + ["worker"] * workers
    client = stage.client(fleet.api, pause_seconds=0.1)
    async with client.sending():
        await client.accepts(50)
        for number, kind in enumerate(kinds):
            await asyncio.sleep(_REST_SECONDS[size])
            stage.say(f"{number + 1} of {len(kinds)} kills, {client.accepted_count} accepted")
            worker = fleet.workers[number % 2]
            if kind == "child":
                worker.signal_child(signal.SIGKILL)
            else:
                worker.kill()
                await worker.start()
        await client.accepts(50)
    stage.sink.behave()
    verdict = await stage.verdict(fleet.api)
    words = f"{children} kill -9 of a pool's process, {workers} of a worker"
    row = Row.of(verdict, scenario="fleet-kill", faults=words, fault_count=len(kinds))
    row.figures |= {"unknown_attempts": verdict.unknown, "answers": dict(client.answers)}
    return row


async def fleet_freezes(stage: Stage, size: Size) -> Row:
    """Freeze a worker's process past its lease: what it says afterwards moves nothing."""
    fleet = await made(stage)
    await fleet.start(stage)
    stage.sink.behave(delay_seconds=_SLOW_SECONDS)
    client = stage.client(fleet.api, pause_seconds=0.3)
    async with client.sending():
        await client.accepts(30)
        for number in range(_FREEZES[size]):
            # Until its slots are taken.
            await asyncio.sleep(2 * _SLOW_SECONDS)
            child = fleet.workers[0].signal_child(signal.SIGSTOP)
            for second in range(_FROZEN_SECONDS):
                await asyncio.sleep(1)
                stage.say(f"freeze {number + 1}, {second + 1} s of {_FROZEN_SECONDS}")
            fleet.workers[0].resume(child)
            await asyncio.sleep(3)
    stage.sink.behave()
    verdict = await stage.verdict(fleet.api)
    count = _FREEZES[size]
    row = Row.of(verdict, scenario="fleet-freeze", faults=f"{count} freezes", fault_count=count)
    row.worst_recovery_seconds = None
    row.figures |= {"late_results": verdict.late, "unknown_attempts": verdict.unknown}
    if not verdict.late:
        row.failures.append("no result came late: the freeze met nothing under way")
    return row


async def fleet_postgres(stage: Stage, size: Size) -> Row:
    """Restart and kill the database of a fleet under load."""
    fleet = await made(stage)
    await fleet.start(stage)
    faults = _database_faults(fleet.cluster, _RESTARTS[size])
    client = stage.client(fleet.api)
    failures = []
    async with client.sending():
        for number, (name, fault) in enumerate(faults):
            await asyncio.sleep(_REST_SECONDS[size])
            stage.say(f"{number + 1} of {len(faults)}: {name}, {client.accepted_count} accepted")
            await fault()
            await fleet.cluster.back()
            if await client.next_accepted() is None:
                failures.append(f"nothing was accepted any more after {name}")
                break
        await client.accepts(50)
    verdict = await stage.verdict(fleet.api)
    names = ", ".join(dict.fromkeys(name for name, _ in faults))
    row = Row.of(
        verdict,
        scenario="fleet-postgres",
        faults=f"{len(faults)} faults: {names}",
        fault_count=len(faults),
    )
    row.figures |= {"answers": dict(client.answers), "late": verdict.late}
    row.failures += failures
    return row


def _database_faults(
    cluster: Cluster, count: int
) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
    async def restart(mode: str) -> None:
        await cluster.stop(mode)
        await cluster.start()

    ways: list[tuple[str, Callable[[], Awaitable[None]]]] = [
        ("restart -m fast", lambda: restart("fast")),
        ("restart -m immediate", lambda: restart("immediate")),
        ("kill -9 of a backend", cluster.kill_backend),
        ("pg_terminate_backend", cluster.terminate_backends),
    ]
    return ways * count
