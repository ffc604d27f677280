"""FI-03: killed exactly at each point of the failure model, on both databases, in a failover topic.

What may be repeated at a point is known: nothing, but where the service had the request and its
answer was not recorded yet.
"""

from __future__ import annotations

import asyncio
import random
import signal
import socket
from collections import Counter
from collections.abc import Awaitable, Callable

from bench.chaos.journal import read_lines
from bench.chaos.product import Product
from bench.chaos.scenario import Row, Size
from bench.chaos.stage import Stage

#: The points, and how many arrivals each may repeat.
POINTS = {
    "P1": 0,
    "P2": 0,
    "P3": 0,
    "P4": 0,
    "P8": 0,
    "P9": 1,
    "P10": 1,
    "P11": 0,
    "P13": 1,
    "P14": 0,
    "chain": 1,
}
_ROUNDS = {Size.PR: 1, Size.FULL: 4}
#: In the small size, the points at which something else can go wrong than at the ones beside them.
_SMALL = ("P3", "P8", "P10", "P14", "chain")
#: A point is passed, and the process dead, within so many seconds.
_PATIENCE_SECONDS = 60
#: The sink answers after so many seconds, so that a kill can come before the answer.
_ANSWER_SECONDS = 0.1
#: The sender rests so long, in seconds, so that a message is sent before the next one comes.
_REST_SECONDS = 0.3


async def points_on_sqlite(stage: Stage, size: Size) -> Row:
    """Kill the process at each point of the failure model, on SQLite."""
    product = stage.product()

    async def nobody_lives() -> None:
        """Do nothing: a start on SQLite takes everything back."""

    return await _each_point(stage, product, size, "points-sqlite", nobody_lives)


async def points_on_postgres(stage: Stage, size: Size) -> Row:
    """Kill the process at each point of the failure model, on PostgreSQL."""
    cluster = await stage.cluster()
    product = stage.product(database_url=cluster.url)

    async def nobody_lives() -> None:
        # As if the thirty seconds had been waited for: nobody lives who could hold them.
        await cluster.execute(
            "UPDATE delivery SET lease_until = now() - interval '1 second' WHERE status = 'sending'"
        )

    return await _each_point(stage, product, size, "points-postgres", nobody_lives)


async def _each_point(
    stage: Stage,
    product: Product,
    size: Size,
    scenario: str,
    nobody_lives: Callable[[], Awaitable[None]],
) -> Row:
    chance = random.Random(scenario)
    stage.sink.behave(delay_seconds=_ANSWER_SECONDS)
    await product.start()
    await stage.furnish(product)
    await _make_chain(stage, product)
    await _stopped(product)
    repeated: dict[str, int] = {}
    broken: list[str] = []
    client = stage.client(product, senders=1, pause_seconds=_REST_SECONDS)
    chosen = _SMALL if size is Size.PR else tuple(POINTS)
    rounds = [name for name in chosen for _ in range(_ROUNDS[size])]
    async with client.sending():
        for number, name in enumerate(rounds):
            before = _repeated(stage)
            program = ("-m", "bench.chaos.point_launcher", name, str(chance.randint(1, 4)))
            product.launch(program)
            if not await _dead(product):
                broken.append(f"{name} was not passed")
                product.kill()
            stage.journal.write("killed", pid=product.pid, point=name, in_flight=1)
            await nobody_lives()
            await product.start()
            # What was interrupted is sent again now; it is told by one more message that is sent.
            await client.accepts(2)
            await _stopped(product)
            count = _repeated(stage) - before
            repeated[name] = repeated.get(name, 0) + count
            if count > POINTS[name]:
                broken.append(f"a kill at {name} repeated {count} arrivals")
            stage.say(f"{number + 1} of {len(rounds)} points")
        await product.start()
    verdict = await stage.verdict(product)
    faults = f"{_ROUNDS[size]} kills at each of {len(chosen)} points"
    row = Row.of(verdict, scenario=scenario, faults=faults, fault_count=len(rounds))
    row.figures["repeated_at"] = {name: count for name, count in repeated.items() if count}
    row.failures += broken
    return row


async def _make_chain(stage: Stage, product: Product) -> None:
    """Let each message fail over: the first channel's service is not there."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    channel: dict[str, object] = {"plugin": "Webhook", "settings": {"url": url}}
    channel |= {"retry_schedule": [], "breaker_failures": 0}
    await stage.put(product, "/v1/channels/gone", channel)
    topic = {"channels": ["gone", "sink"], "strategy": "failover"}
    await stage.put(product, "/v1/topics/chaos", topic)


async def _dead(product: Product) -> bool:
    """Wait until the process has died by itself; tell whether it did."""
    for _ in range(int(_PATIENCE_SECONDS / 0.01)):
        if not product.running:
            return True
        await asyncio.sleep(0.01)
    return False


async def _stopped(product: Product) -> None:
    """End the process in order, so that this repeats nothing."""
    product.signal(signal.SIGTERM)
    await product.ended()


def _repeated(stage: Stage) -> int:
    """Count the arrivals beyond the first of each delivery so far."""
    came = Counter(one["delivery"] for one in read_lines(stage.directory / "sink.jsonl"))
    return sum(count - 1 for count in came.values())
