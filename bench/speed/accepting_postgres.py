"""Accepted messages a second on PostgreSQL: Almenara beside an insert in each request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from bench.fleet.programs import served
from bench.fleet.stage import SERVE
from bench.speed.accepting import COUNTED, INSERT, OURS, SERVING, Generated, Side, prepared
from bench.speed.figure import Figure, Measured, compare, take_turns
from bench.speed.size import Context

_FIGURE = Figure("accepted/s, each synced to disk before its 202 (PostgreSQL)", INSERT, 8.0)


def measure(context: Context) -> Iterator[Measured]:
    """Measure on PostgreSQL, each side on a database of its own."""
    generated, stage = Generated(context.size), context.open_stage()
    with ExitStack() as stack:
        receiver = stack.enter_context(stage.receiver())

        def serving(*arguments: str) -> Side:
            place = stack.enter_context(stage.place(receiver))
            output = place.directory / "api.log"
            url, _ = stack.enter_context(served(arguments, output=output, environ=place.environ))
            return Side(url)

        sides = {
            OURS: prepared(serving(*SERVE)),
            INSERT: serving("-m", SERVING, "insert_per_request"),
        }
        turns = take_turns(
            {name: partial(generated.rate, name, side) for name, side in sides.items()},
            rounds=context.size.rounds,
        )
    yield compare(
        _FIGURE,
        turns,
        OURS,
        INSERT,
        counted=COUNTED,
        remark="PostgreSQL, with its own defaults, runs on the same machine.",
    )
