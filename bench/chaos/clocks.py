"""FI-13: the wall clock jumps under load, and two processes disagree on the time."""

from __future__ import annotations

import asyncio
import os
import struct
from itertools import cycle, islice
from pathlib import Path

from bench.chaos.preload import preload
from bench.chaos.product import Product
from bench.chaos.scenario import Row, Size
from bench.chaos.stage import Stage

_JUMPS = {Size.PR: 3, Size.FULL: 20}
_HOUR, _DAY = 3600, 86_400
#: Where the clock stands after each jump, in seconds from the right time.
_OFFSETS = (_HOUR, -_DAY, 0, _DAY, -_HOUR, 0)
#: At last it goes so far ahead that whatever waits, waits no longer.
_END = 30 * _DAY
_REST = 1.0
#: So slow that attempts are always under way.
_SINK_SECONDS = 0.4
#: How long the processor is watched while nothing is to do, in seconds.
_IDLE = {Size.PR: 1.0, Size.FULL: 20.0}
#: How far two clocks are apart, how slow the sink is then, and for how long, in seconds.
_SKEW, _SKEWED_SINK_SECONDS = 90, 6
_SKEWED_SECONDS = {Size.PR: 12, Size.FULL: 60}
#: More than this share of a core is no rest.
_BUSY_PERCENT = 50


async def clock_jumps(stage: Stage, size: Size) -> Row:
    """Put the clock an hour or a day forward and back while the server works."""
    clock, count = Clock(stage.directory), _JUMPS[size]
    product = stage.product(environ=clock.environ)
    await product.start()
    await stage.furnish(product)
    stage.sink.behave(delay_seconds=_SINK_SECONDS)
    client = stage.client(product, senders=4, pause_seconds=0.1)
    async with client.sending():
        await client.accepts(20)
        for number, offset in enumerate(islice(cycle(_OFFSETS), count)):
            # What is refused now is to be tried again, by a clock that will have jumped.
            stage.sink.behave(status=503, delay_seconds=_SINK_SECONDS)
            await asyncio.sleep(_SINK_SECONDS)
            stage.sink.behave(delay_seconds=_SINK_SECONDS)
            clock.put(offset)
            stage.journal.write("clock", pid=product.pid, offset=offset)
            await asyncio.sleep(_REST)
            stage.say(f"{number + 1} of {count} jumps, {client.accepted_count} accepted")
    # What waits is due in a day: nothing is to do until then.
    clock.put(-_DAY)
    await asyncio.sleep(_REST)
    busy = await _busy_percent(product, _IDLE[size])
    clock.put(_END)
    verdict = await stage.verdict(product)
    row = Row.of(verdict, scenario="clock", faults=f"{count} jumps", fault_count=count)
    row.worst_recovery_seconds = None
    row.figures |= {
        "idle_cpu_percent": busy,
        "unknown_attempts": verdict.unknown,
        "late_results": verdict.late,
    }
    if verdict.duplicated:
        row.failures.append(f"{verdict.duplicated} were sent more than once by a jump")
    if busy > _BUSY_PERCENT:
        row.failures.append(f"the server used {busy} % of a core with nothing to do")
    return row


async def clock_skew(stage: Stage, size: Size) -> Row:
    """Let two processes on one PostgreSQL disagree on the time by ninety seconds."""
    cluster, clock = await stage.cluster(), Clock(stage.directory)
    clock.put(_SKEW)
    right = stage.product(name="right", database_url=cluster.url)
    ahead = stage.product(name="ahead", database_url=cluster.url, environ=clock.environ)
    for product in (right, ahead):
        await product.start()
    await stage.furnish(right)
    # Longer than it takes until one looks for what the other seems to have given up.
    stage.sink.behave(delay_seconds=_SKEWED_SINK_SECONDS)
    client = stage.client(right, ahead, senders=4, pause_seconds=0.3)
    async with client.sending():
        await asyncio.sleep(_SKEWED_SECONDS[size])
    stage.sink.behave()
    verdict = await stage.verdict(right)
    row = Row.of(verdict, scenario="clock-skew", faults=f"{_SKEW} s apart", fault_count=1)
    row.worst_recovery_seconds = None
    row.figures |= {"late_results": verdict.late, "unknown_attempts": verdict.unknown}
    return row


class Clock:
    """A wall clock that is put forward and back for the processes which are given it.

    Args:
        directory: where its library is made, and where it stands.
    """

    def __init__(self, directory: Path) -> None:
        library = preload("clock.c", directory)
        self._file = directory / "clock"
        self._file.write_bytes(struct.pack("=q", 0))
        #: What a process needs in its environment to have this clock.
        self.environ = library | {"CHAOS_CLOCK": str(self._file)}

    def put(self, offset: int) -> None:
        """Put it so many seconds before or after the right time, at once."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", offset))


async def _busy_percent(product: Product, seconds: float) -> float:
    """Return what share of one core the process uses for a while."""
    before = _processor_seconds(product.pid)
    await asyncio.sleep(seconds)
    return round((_processor_seconds(product.pid) - before) / seconds * 100, 1)


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
