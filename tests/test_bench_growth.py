"""The parts of the speed table about growth and resources run, and give their figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.fleet.stage import Stage
from bench.speed import growth, latency, memory, resting, starting
from bench.speed.figure import Measured
from bench.speed.size import SIZES, Context
from bench.speed.steady import percentile

pytestmark = pytest.mark.unmeasured


def _no_stage() -> Stage:
    raise AssertionError("these parts need neither PostgreSQL nor RabbitMQ")


def _measured(context: Context) -> Iterator[Measured]:
    for part in (growth.measure, memory.measure, resting.measure, latency.measure):
        yield from part(context)
    yield from starting.measure(context)


@pytest.mark.timeout(300)
def test_the_parts_about_growth_and_resources_give_each_of_their_figures(tmp_path: Path) -> None:
    found = list(_measured(Context(SIZES["test"], tmp_path, _no_stage)))
    assert [one.figure.what.partition(":")[0] for one in found] == [
        *["growth"] * 7,
        *["memory"] * 2,
        *["resting"] * 2,
        *["latency"] * 3,
        *["starting"] * 2,
    ]
    assert all(len(side) == 1 and side[0] > 0 for one in found for side in one.sides.values())
    # Where growth is looked for, there may be none, and a clock may not have ticked.
    positive = [one for one in found if one.figure.what.partition(":")[0] in {"growth", "starting"}]
    assert all(one.median > 0 for one in positive)


def test_a_percentile_is_what_that_share_of_the_waits_does_not_exceed() -> None:
    waits = [float(number) for number in range(100, 0, -1)]
    assert percentile(waits, 0.5) == 51.0
    assert percentile(waits, 0.99) == 100.0
    assert percentile([3.0], 0.99) == 3.0
    with pytest.raises(RuntimeError, match="nothing was accepted"):
        percentile([], 0.5)
