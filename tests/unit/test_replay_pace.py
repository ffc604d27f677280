"""Rates of replays: read, and turned into steps."""

from __future__ import annotations

from datetime import timedelta

import pytest

from almenara.errors import InvalidInputError
from almenara.replay import read_rate
from almenara.replay.pace import LARGEST_STEP

_SPANS = {"s": 1, "m": 60, "h": 3600}


@pytest.mark.parametrize(
    ("text", "step_count", "pause_seconds"),
    [
        ("10/s", 10, 1),
        (" 30 / M ", 1, 2),
        ("500/h", 1, 7.2),
        ("1/h", 1, 3600),
        ("90/m", 1, 60 / 90),
        ("120/m", 2, 1),
        ("1000/s", 200, 0.2),
        ("251/s", 125, 0.5),
    ],
)
def test_a_rate_becomes_small_steps(text: str, step_count: int, pause_seconds: float) -> None:
    pace = read_rate(text)
    assert pace.step_count == step_count
    assert pace.pause == timedelta(seconds=pause_seconds)


def test_steps_make_no_more_than_the_rate_and_not_much_less() -> None:
    for unit, seconds in _SPANS.items():
        for count in (*range(1, 1300), 10_000):
            pace = read_rate(f"{count}/{unit}")
            made = pace.step_count * round(timedelta(seconds=seconds) / pace.pause)
            assert count / 2 < made <= count
            assert pace.step_count <= LARGEST_STEP


def test_without_a_rate_there_are_no_pauses() -> None:
    pace = read_rate(None)
    assert (pace.step_count, pace.pause) == (LARGEST_STEP, timedelta())


@pytest.mark.parametrize(
    "text", ["", "10", "0/s", "-1/s", "1.5/s", "10/d", "10 per s", "1000000/s", "s/10", "10/s/s"]
)
def test_what_is_no_rate_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(InvalidInputError, match="10/s, 30/m or 500/h") as caught:
        read_rate(text)
    assert [(one.field, one.code) for one in caught.value.errors] == [("rate", "rate_invalid")]
