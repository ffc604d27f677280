"""FI-06, FI-07: the broker in every kind of trouble, under load; it is nobody else's trouble."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

from bench.chaos.client import Client
from bench.chaos.fleet import Fleet, made
from bench.chaos.product import ROOT
from bench.chaos.scenario import Row, Size
from bench.chaos.stage import Stage
from bench.chaos.wire import Wire

#: How long each trouble lasts, in seconds, and how often each comes.
_TROUBLE_SECONDS = {Size.PR: 2.0, Size.FULL: 8.0}
_TURNS = {Size.PR: 1, Size.FULL: 3}
_AWAY_SECONDS = {Size.PR: 0, Size.FULL: 180}
_OF_PR = ("killed", "queues deleted", "messages repeated")
_LINES = ("almenara.high", "almenara.normal", "almenara.dead")
#: What is said of a trouble comes with the next ring, which is given five seconds.
_TOLD_SECONDS = 20.0
#: In trouble it is accepted at no less than this share of the rate before; the rest is the machine.
_LEAST_SHARE = 0.5

Trouble = Callable[[], Awaitable[None]]


async def fleet_broker(stage: Stage, size: Size) -> Row:
    """Refuse, kill, silence, stop, block, empty and delete the broker, and repeat its messages."""
    broker = await stage.broker()
    wire = await stage.wire(broker.url)
    fleet = await made(stage, broker=broker, broker_url=wire.url)
    await broker.stop()
    # The broker is absent at the start: whoever accepts starts nonetheless.
    await fleet.api.start()
    await stage.furnish(fleet.api)
    await fleet.broker.start()
    await asyncio.gather(*(worker.start() for worker in fleet.workers))
    bench = _Bench(stage, fleet, wire, size)
    client = stage.client(fleet.api, pause_seconds=0.05)
    async with client.sending():
        await client.accepts(100)
        for number, (name, trouble) in enumerate(bench.troubles()):
            stage.say(f"{number + 1}: {name}, {client.accepted_count} accepted")
            await bench.suffer(name, trouble, client)
        await client.accepts(100)
    verdict = await stage.verdict(fleet.api)
    row = Row.of(
        verdict,
        scenario="fleet-broker",
        faults=f"{len(bench.suffered)} troubles: {', '.join(dict.fromkeys(bench.suffered))}",
        fault_count=len(bench.suffered),
    )
    row.figures |= {
        "accepted_in_trouble": round(min(bench.shares.values()), 2),
        "accepted_by_trouble": {name: round(share, 2) for name, share in bench.shares.items()},
        "told_by_readyz": bench.told,
        "answers": dict(client.answers),
        "unknown_attempts": verdict.unknown,
    }
    row.failures += bench.failures
    if set(client.answers) != {"202"}:
        row.failures.append(f"not every answer was 202: {dict(client.answers)}")
    if verdict.duplicated:
        row.failures.append(f"{verdict.duplicated} were repeated, though no worker died")
    return row


class _Bench:
    """Brings the troubles about, and looks at what they do."""

    def __init__(self, stage: Stage, fleet: Fleet, wire: Wire, size: Size) -> None:
        self._stage = stage
        self._fleet = fleet
        self._wire = wire
        self._seconds = _TROUBLE_SECONDS[size]
        self._size = size
        self.suffered: list[str] = []
        #: By trouble: accepted a second meanwhile, beside the second before.
        self.shares: dict[str, float] = {}
        #: What `/readyz` said of the queue, by trouble.
        self.told: dict[str, str] = {}
        self.failures: list[str] = []

    def troubles(self) -> list[tuple[str, Trouble]]:
        """Return the troubles of this size, by turns."""
        once: list[tuple[str, Trouble]] = [
            ("restarted", self._restarted),
            ("killed", self._killed),
            ("silent", self._silent),
            ("blocked by its alarm", self._blocked),
            ("purged", self._purged),
            ("queues deleted", self._deleted),
            ("messages repeated", self._repeated),
            ("data lost", self._data_lost),
            ("connections reset", self._reset),
        ]
        if self._size is Size.PR:
            once = [one for one in once if one[0] in _OF_PR]
        away = [("away for minutes", self._away)] if _AWAY_SECONDS[self._size] else []
        return once * _TURNS[self._size] + away

    async def suffer(self, name: str, trouble: Trouble, client: Client) -> None:
        """Bring a trouble about, and compare how much is accepted with the time before."""
        await asyncio.sleep(1)
        before = await _rate(client, self._seconds)
        counted, began = client.accepted_count, time.monotonic()
        looking = asyncio.create_task(self._look(name))
        try:
            await trouble()
            meanwhile = (client.accepted_count - counted) / (time.monotonic() - began)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        self.suffered.append(name)
        share = meanwhile / before if before else 0.0
        self.shares[name] = min(share, self.shares.get(name, share))
        if share < _LEAST_SHARE:
            self.failures.append(f"{name}: only {share:.2f} of what is accepted otherwise")
        await self._recovered(name)

    async def _look(self, name: str) -> None:
        """Note what is said of the queue while a trouble lasts."""
        while True:
            status, queue = await self._stage.readiness(self._fleet.api)
            if queue != "ok":
                self.told[name] = status
            if status == "not ready":
                self.failures.append(f"{name}: the API was not ready: {queue}")
            await asyncio.sleep(0.2)

    async def _recovered(self, name: str) -> None:
        deadline = time.monotonic() + _TOLD_SECONDS
        while (await self._stage.readiness(self._fleet.api))[1] != "ok":
            if time.monotonic() > deadline:
                self.failures.append(f"{name}: the queue is still in trouble afterwards")
                return
            await asyncio.sleep(0.2)

    async def _restarted(self) -> None:
        await self._fleet.broker.stop()
        await asyncio.sleep(self._seconds)
        await self._fleet.broker.start()

    async def _killed(self) -> None:
        await self._fleet.broker.kill()
        await asyncio.sleep(self._seconds)
        await self._fleet.broker.start()

    async def _silent(self) -> None:
        self._wire.hush()
        await asyncio.sleep(self._seconds + 6)
        self._wire.talk()
        self._wire.reset()

    async def _blocked(self) -> None:
        await self._fleet.broker.control("set_vm_memory_high_watermark", "0.00001")
        await asyncio.sleep(self._seconds + 6)
        await self._fleet.broker.control("set_vm_memory_high_watermark", "0.4")

    async def _purged(self) -> None:
        for line in _LINES[:2]:
            await self._fleet.broker.control("purge_queue", line)
        await asyncio.sleep(self._seconds)

    async def _deleted(self) -> None:
        for line in _LINES[:2]:
            await self._fleet.broker.control("delete_queue", line)
        await asyncio.sleep(self._seconds)

    async def _repeated(self) -> None:
        """Ring twice again for every delivery that there is, whatever has become of it."""
        rows = await self._fleet.cluster.execute("SELECT id::text FROM delivery")
        ids = "\n".join(row["id"] for row in rows)
        for _ in range(2):
            await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "bench.fleet.ringer", "sink", "0"],
                input=ids.encode(),
                env=dict(self._fleet.api.environ),
                cwd=ROOT,
                check=True,
                capture_output=True,
            )
        await asyncio.sleep(self._seconds)

    async def _data_lost(self) -> None:
        await self._fleet.broker.lose_data()
        await asyncio.sleep(self._seconds)
        await self._fleet.broker.start()

    async def _reset(self) -> None:
        for _ in range(5):
            self._wire.reset()
            await asyncio.sleep(self._seconds / 5)

    async def _away(self) -> None:
        await self._fleet.broker.stop()
        for second in range(_AWAY_SECONDS[self._size]):
            self._stage.say(f"away for {second} s")
            await asyncio.sleep(1)
        await self._fleet.broker.start()


async def _rate(client: Client, seconds: float) -> float:
    counted, began = client.accepted_count, time.monotonic()
    await asyncio.sleep(seconds)
    return (client.accepted_count - counted) / (time.monotonic() - began)
