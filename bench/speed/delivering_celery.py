"""Delivered messages a second by workers: Almenara's beside one Celery task for each delivery.

The rows stand in PostgreSQL already, and workers are rung for them over RabbitMQ; what both sides
do is told in :mod:`bench.fleet.deliver`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from bench.fleet.deliver import PLAIN_PROCESSES, PROCESSES, SENDS, Side, our_side, plain_side
from bench.speed.figure import Figure, Measured, compare, take_turns
from bench.speed.size import Context

_OURS, _PLAIN = "Almenara's workers", "one Celery task for each"
_FIGURE = Figure("delivered/s by workers, stored and recorded (PostgreSQL, RabbitMQ)", _PLAIN, 10.0)
#: So many times fewer are delivered by the side that is so much slower.
_PLAIN_LESS = 8


def measure(context: Context) -> Iterator[Measured]:
    """Measure on PostgreSQL and RabbitMQ; both sides' workers stand at once, and take turns."""
    stage, rounds = context.open_stage(), context.size.rounds
    counts = {_OURS: context.size.deliveries, _PLAIN: context.size.deliveries // _PLAIN_LESS}
    warm_up = min(counts.values())
    with ExitStack() as stack:
        sides = {
            _OURS: stack.enter_context(our_side(stage)),
            _PLAIN: stack.enter_context(plain_side(stage)),
        }
        for side in sides.values():
            side.deliver(warm_up)
        turns = take_turns(
            {name: partial(_rate, side, counts[name]) for name, side in sides.items()},
            rounds=rounds,
        )
        for name, side in sides.items():
            side.check(warm_up + counts[name] * rounds)
    yield compare(
        _FIGURE,
        turns,
        _OURS,
        _PLAIN,
        counted="delivered/s",
        remark="Both read each message from PostgreSQL and record the attempt there. Almenara has "
        f"{PROCESSES} worker processes with `--sends {SENDS}`, the other side {PLAIN_PROCESSES}: "
        "each what is fastest of what was tried.",
    )


def _rate(side: Side, count: int) -> float:
    return count / side.deliver(count)
