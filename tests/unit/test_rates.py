"""Rates: what is written, and that no more begins than they allow."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.errors import InvalidInputError
from almenara.rates import LARGEST_COUNT, RATE_PATTERN, Rate, admit, parse_rate

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SPANS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}


@pytest.mark.parametrize(
    ("text", "stored"),
    [("10/s", "10/s"), (" 30 / M ", "30/m"), ("0500/h", "500/h"), ("10000/s", "10000/s")],
)
def test_a_rate_is_read_and_written(text: str, stored: str) -> None:
    assert str(parse_rate(text)) == stored
    assert re.search(RATE_PATTERN, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "10/x",
        "0/s",
        "-1/m",
        "1.5/s",
        "10/sec",
        "10001/s",
        "9" * 40 + "/s",
        "٣/s",
        "10//s",
    ],
)
def test_what_is_no_rate_is_refused_and_says_what_is_allowed(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"10/s, 30/m or 500/h: a number from 1 to 10000"):
        parse_rate(text)


def test_a_burst_begins_at_once_and_the_rest_one_by_one() -> None:
    rate = Rate(10, "s")
    first = admit(None, now=NOW, rate=rate, burst=20, wanted=100)
    assert (first.count, first.next_at) == (20, NOW + timedelta(milliseconds=100))
    early = admit(
        first.arrival_at, now=NOW + timedelta(milliseconds=99), rate=rate, burst=20, wanted=1
    )
    assert (early.count, early.arrival_at) == (0, first.arrival_at)
    later = admit(
        first.arrival_at, now=NOW + timedelta(milliseconds=350), rate=rate, burst=20, wanted=9
    )
    assert later.count == 3


def test_without_a_burst_one_begins_at_a_time() -> None:
    assert admit(None, now=NOW, rate=Rate(10, "s"), burst=None, wanted=5).count == 1


def test_an_arrival_of_a_clock_that_jumped_is_set_right() -> None:
    far = NOW + timedelta(days=1)
    admission = admit(far, now=NOW, rate=Rate(1, "s"), burst=None, wanted=1)
    assert admission.count == 0
    assert admission.next_at == NOW + timedelta(seconds=1)
    then = admit(admission.arrival_at, now=admission.next_at, rate=Rate(1, "s"), burst=1, wanted=1)
    assert then.count == 1


@given(
    count=st.integers(1, LARGEST_COUNT),
    unit=st.sampled_from(sorted(SPANS)),
    burst=st.integers(1, 50),
    looks=st.lists(
        st.tuples(st.timedeltas(timedelta(0), timedelta(seconds=90)), st.integers(0, 80)),
        max_size=30,
    ),
)
def test_in_no_span_more_begins_than_the_rate_and_the_burst(
    count: int, unit: str, burst: int, looks: list[tuple[timedelta, int]]
) -> None:
    rate, now, arrival = Rate(count, unit), NOW, None
    begun: list[tuple[datetime, int]] = []
    for wait, wanted in looks:
        now += wait
        admission = admit(arrival, now=now, rate=rate, burst=burst, wanted=wanted)
        assert 0 <= admission.count <= wanted
        arrival = admission.arrival_at
        begun.append((now, admission.count))
    for first, (start, _) in enumerate(begun):
        total = 0
        for end, number in begun[first:]:
            total += number
            assert total <= burst + (end - start) / SPANS[unit] * count


@given(
    count=st.integers(1, LARGEST_COUNT),
    unit=st.sampled_from(sorted(SPANS)),
    burst=st.integers(1, 50),
    wanted=st.integers(1, 100),
)
def test_the_next_one_may_begin_when_it_is_said_and_not_before(
    count: int, unit: str, burst: int, wanted: int
) -> None:
    rate = Rate(count, unit)
    first = admit(None, now=NOW, rate=rate, burst=burst, wanted=wanted)
    if first.next_at > NOW:
        early = first.next_at - timedelta(microseconds=1)
        assert admit(first.arrival_at, now=early, rate=rate, burst=burst, wanted=1).count == 0
    at = max(first.next_at, NOW)
    assert admit(first.arrival_at, now=at, rate=rate, burst=burst, wanted=1).count == 1


@given(used=st.integers(0, 20), wanted=st.integers(0, 40))
def test_what_is_not_used_was_never_taken(used: int, wanted: int) -> None:
    rate = Rate(1, "m")
    free = admit(None, now=NOW, rate=rate, burst=20, wanted=wanted).count
    used = min(used, free)
    taken = admit(None, now=NOW, rate=rate, burst=20, wanted=used)
    rest = admit(taken.arrival_at, now=NOW, rate=rate, burst=20, wanted=100)
    assert used + rest.count == 20
