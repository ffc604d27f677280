"""Durations as people write them, and when the next attempt is."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.errors import InvalidInputError
from almenara.retry import (
    DEFAULT_SCHEDULE,
    DURATION_PATTERN,
    JITTER,
    LONGEST_WAIT,
    next_wait,
    parse_duration,
    write_duration,
)

SCHEDULE = (timedelta(seconds=10), timedelta(minutes=1))


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("10s", timedelta(seconds=10)),
        ("5m", timedelta(minutes=5)),
        ("2h", timedelta(hours=2)),
        ("1d", timedelta(days=1)),
        ("7d", timedelta(days=7)),
        ("604800s", timedelta(days=7)),
        ("0s", timedelta(0)),
        ("  10 S ", timedelta(seconds=10)),
        ("5M", timedelta(minutes=5)),
    ],
)
def test_a_duration_is_a_number_and_its_unit(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration
    assert re.search(DURATION_PATTERN, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "s",
        "-10s",
        "1.5h",
        "10 minutes",
        "1h30m",
        "10w",
        "1_0s",
        "0x10s",
        "1234567s",
        "\uff11\uff10s",
    ],
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a duration such as 10s, 5m, 2h or 1d"):
        parse_duration(text)
    assert not re.search(DURATION_PATTERN, text)


@pytest.mark.parametrize("text", ["8d", "169h", "604801s", "999999d"])
def test_no_wait_is_longer_than_a_week(text: str) -> None:
    with pytest.raises(InvalidInputError, match=f"'{text}' is longer than 7d"):
        parse_duration(text)


def test_a_long_text_is_not_repeated_in_full() -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_duration("9" * 10_000)
    assert len(refused.value.message) < 120


def test_the_default_schedule_is_made_of_durations() -> None:
    waits = [parse_duration(text) for text in DEFAULT_SCHEDULE]
    assert waits == sorted(waits)
    assert sum(waits, timedelta()) == timedelta(hours=34, minutes=36, seconds=10)


def test_each_step_has_its_wait_and_after_the_last_is_none() -> None:
    waits = [next_wait(SCHEDULE, step, spread=0) for step in range(4)]
    assert waits == [timedelta(seconds=10), timedelta(minutes=1), None, None]
    assert next_wait((), 0, spread=0) is None


@given(spread=st.floats(-1, 1), step=st.integers(0, 1))
def test_jitter_spreads_a_wait_by_a_fifth_to_both_sides(spread: float, step: int) -> None:
    wait = next_wait(SCHEDULE, step, spread=spread)
    assert wait is not None
    assert SCHEDULE[step] * (1 - JITTER) <= wait <= SCHEDULE[step] * (1 + JITTER)


def test_the_ends_of_the_jitter_are_really_reached() -> None:
    ends = [next_wait(SCHEDULE, 0, spread=spread) for spread in (-1, 1)]
    assert ends == [timedelta(seconds=8), timedelta(seconds=12)]


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        (timedelta(seconds=30), timedelta(seconds=30)),
        (timedelta(seconds=3), timedelta(seconds=10)),
        (timedelta(0), timedelta(seconds=10)),
        (timedelta(days=30), LONGEST_WAIT),
    ],
)
def test_a_services_wish_makes_a_wait_longer_and_never_shorter(
    retry_after: timedelta, wait: timedelta
) -> None:
    assert next_wait(SCHEDULE, 0, spread=0, retry_after=retry_after) == wait


def test_a_services_wish_gives_no_further_attempt() -> None:
    assert next_wait(SCHEDULE, 2, spread=0, retry_after=timedelta(seconds=1)) is None


def test_jitter_too_keeps_to_the_longest_wait() -> None:
    assert next_wait((LONGEST_WAIT,), 0, spread=1) == LONGEST_WAIT


@pytest.mark.parametrize(
    "text", ["0s", "10s", "90s", "1m", "61m", "2h", "24h", "168h", *DEFAULT_SCHEDULE]
)
def test_a_duration_is_written_as_it_is_read(text: str) -> None:
    assert write_duration(parse_duration(text)) == text
