"""Two workers on hosts of their own: one loses its network in the middle of sends."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime
from pathlib import Path

from bench.chaos.network import MACHINE, NETWORK, Network
from bench.chaos.scenario import Row, Size
from bench.chaos.stage import Stage
from bench.chaos.wire import Wire

_CUTS = {Size.PR: 1, Size.FULL: 4}
#: Longer than a lease, and than anybody waits to take its claims over.
_CUT_SECONDS = 50
_SLOW_SECONDS = 2.0
#: What was claimed by a host that is cut off is with another one after so many seconds.
_RESCUED_SECONDS = 40.0
#: Between the cuts, the wires to the broker and the database are slow, and break.
_DELAY_SECONDS = 0.05


async def fleet_hosts(stage: Stage, size: Size) -> Row:
    """Cut off one of two workers on hosts of their own, and let it come back."""
    network = Network()
    stage.exits.callback(network.close)
    cluster, broker = await stage.cluster(), await stage.broker()
    urls = (cluster.url, broker.url, stage.sink.url)
    wires = [await stage.wire(one, host=MACHINE) for one in urls]
    database, rings, sink = wires
    api = stage.product(
        database_url=cluster.url,
        environ={"ALMENARA_BROKER_URL": broker.url, "ALMENARA_EGRESS_ALLOW": NETWORK},
    )
    await api.start()
    channel = {"plugin": "Webhook", "settings": {"url": sink.url}, "concurrency": 16}
    await stage.put(api, "/v1/channels/sink", channel)
    await stage.put(api, "/v1/topics/chaos", {"channel": "sink"})
    environ = {"ALMENARA_DATABASE_URL": database.url, "ALMENARA_BROKER_URL": rings.url}
    hosts = [network.host(), network.host()]
    workers = [
        stage.worker(api, name=host, prefix=("ip", "netns", "exec", host), environ=environ)
        for host in hosts
    ]
    await asyncio.gather(*(worker.start() for worker in workers))
    stage.sink.behave(delay_seconds=_SLOW_SECONDS)
    client = stage.client(api, pause_seconds=0.3)
    waits: list[float] = []
    async with client.sending():
        for number in range(_CUTS[size]):
            # Until its slots are taken, while the network is slow and breaks.
            await _trouble(wires)
            await asyncio.sleep(2 * _SLOW_SECONDS)
            host = hosts[number % 2]
            network.cut(host)
            stage.journal.write("cut off", pid=0)
            cut_at = time.time()
            for second in range(_CUT_SECONDS):
                await asyncio.sleep(1)
                stage.say(f"cut {number + 1}, {second + 1} s of {_CUT_SECONDS}")
            other = stage.directory / f"{hosts[1 - number % 2]}.log"
            waits += _rescues(other, cut_at)
            network.mend(host)
            await asyncio.sleep(5)
    stage.sink.behave()
    verdict = await stage.verdict(api)
    count = _CUTS[size]
    row = Row.of(verdict, scenario="fleet-hosts", faults=f"{count} partitions", fault_count=count)
    row.worst_recovery_seconds = round(max(waits), 1) if waits else None
    row.figures |= {
        "rescued": len(waits),
        "late_results": verdict.late,
        "unknown_attempts": verdict.unknown,
    }
    if not waits:
        row.failures.append("nothing was rescued: the partition met nothing under way")
    elif max(waits) > _RESCUED_SECONDS:
        row.failures.append(f"something was rescued only after {max(waits):.0f} s")
    if not verdict.late:
        row.failures.append("no result came late from the host that was cut off")
    return row


async def _trouble(wires: list[Wire]) -> None:
    """Let every wire be slow for a second, and break once."""
    for wire in wires:
        wire.delay_seconds = _DELAY_SECONDS
    await asyncio.sleep(1)
    for wire in wires:
        wire.delay_seconds = 0.0
    # Not the sink's: an answer that breaks off is a repetition that nobody could avoid.
    for wire in wires[:2]:
        wire.reset()


def _rescues(log: Path, since: float) -> list[float]:
    """Return how long after a moment a worker took over what another one had claimed."""
    waits = []
    for line in log.read_text(errors="replace").splitlines():
        if '"event": "delivery_rescued"' in line:
            at = datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
            if at > since:
                waits.append(at - since)
    return waits
