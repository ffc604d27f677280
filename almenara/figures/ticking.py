"""What is measured now and then, on the event loop of a process that sends or serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress

from almenara.figures.counting import count_lag, gauges, keep_channels
from almenara.figures.sharing import is_shared, publish

#: So often, in seconds: for others who wait for the figures, and for a process that is alone.
_SHARED_SECONDS, _ALONE_SECONDS = 1.0, 5.0


@asynccontextmanager
async def counting(
    *,
    channels: Callable[[], Iterable[str]],
    outcomes: Iterable[str],
    read: Mapping[str, Callable[[], float]],
) -> AsyncIterator[None]:
    """Measure the event loop until the block ends, and keep the figures in order.

    Args:
        channels: gives the names of the channels that there are.
        outcomes: what an attempt may come to.
        read: gauges by name, which are read when somebody asks.
    """
    outcomes = list(outcomes)
    gauges.update(read)

    async def tick() -> None:
        loop = asyncio.get_running_loop()
        seconds = _SHARED_SECONDS if is_shared() else _ALONE_SECONDS
        while True:
            keep_channels(channels(), outcomes)
            if is_shared():
                # It writes a file.
                await asyncio.to_thread(publish)
            begun = loop.time()
            await asyncio.sleep(seconds)
            count_lag(loop.time() - begun - seconds)

    task = asyncio.create_task(tick(), name="figures")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        for name in read:
            gauges.pop(name, None)
        publish()
