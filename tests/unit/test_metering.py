"""How often somebody may ask: exactly as often as the rate says, and each for themselves."""

from __future__ import annotations

import pytest

from almenara.api.metering import Meter
from almenara.rates import Rate


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("rate", [Rate(20, "s"), Rate(7, "m"), Rate(10_000, "h"), Rate(1, "h")])
def test_exactly_so_many_come_at_once_and_then_one_at_a_time(rate: Rate) -> None:
    clock = Clock()
    meter = Meter(rate, clock=clock)
    taken = [meter.take("a") for _ in range(rate.count + 5)]
    assert sum(not one.wait_seconds for one in taken) == rate.count
    assert [one.left for one in taken[: rate.count]] == list(range(rate.count - 1, -1, -1))
    clock.now += rate.span.total_seconds() / rate.count
    assert [meter.take("a").wait_seconds > 0 for _ in range(2)] == [False, True]


def test_who_waits_as_long_as_is_said_may_go_on() -> None:
    clock = Clock()
    meter = Meter(Rate(3, "m"), burst=1, clock=clock)
    assert meter.take("a").wait_seconds == 0
    refused = meter.take("a")
    assert (refused.left, refused.wait_seconds, refused.reset_seconds) == (0, 20, 20)
    clock.now += refused.wait_seconds
    assert meter.take("a").wait_seconds == 0
    assert meter.policy == '"sender";q=1;w=20'


def test_one_callers_requests_are_not_anothers() -> None:
    meter = Meter(Rate(1, "h"), clock=Clock())
    assert meter.take("a").wait_seconds == 0
    assert meter.take("b").wait_seconds == 0
    assert meter.take("a").wait_seconds == 3600


def test_it_remembers_a_bounded_number_of_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("almenara.api.metering.MOST_REMEMBERED", 3)
    meter = Meter(Rate(1, "h"), clock=Clock())
    for name in "abcd":
        meter.take(name)
    assert len(meter._arrivals) == 3
    assert meter.take("d").wait_seconds
    assert not meter.take("a").wait_seconds
