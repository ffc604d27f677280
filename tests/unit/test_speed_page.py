"""What a run of the speed bench comes to: ratios, promises, and the page that says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.speed.figure import Figure, Measured, Unit, alternate, compare, take_turns
from bench.speed.page import details, line, page
from tests.pages import blocks, table_rows

_MACHINE = {
    "date": "2026-11-29",
    "almenara": "0.1.0 (abc1234)",
    "machine": "2 cores",
    "versions": "Python 3.11.7, SQLite 3.40.1",
}
_FASTER = Figure("accepted/s", "an insert | each", 15.0)


def _measured(figure: Figure, *values: float, remark: str = "") -> Measured:
    ours, theirs = [value * 100 for value in values], [100.0 for _ in values]
    return Measured(figure, values, {"ours": ours, "theirs": theirs}, "accepted/s", remark)


def _page(*measured: Measured, picture: bool = False) -> str:
    return page(measured, machine=_MACHINE, run="Size quick.", picture=picture)


def _counting(name: str, calls: list[str], values: list[float]) -> Callable[[], float]:
    left = iter(values)

    def side() -> float:
        calls.append(name)
        return next(left)

    return side


# --- figures


def test_the_median_of_the_rounds_is_held_against_the_promise() -> None:
    assert _measured(_FASTER, 1.0, 16.0, 17.0).median == 16.0
    assert _measured(_FASTER, 1.0, 16.0, 17.0).reached
    assert not _measured(_FASTER, 1.0, 14.9, 17.0).reached


def test_what_should_be_small_is_reached_from_below() -> None:
    quick = Figure("start", "", 2.0, unit="s", at_least=False)
    assert Measured(quick, [1.9, 2.0, 9.0], {}).reached
    assert not Measured(quick, [1.9, 2.1, 9.0], {}).reached


def test_two_sides_alternate_and_are_divided_round_by_round() -> None:
    calls: list[str] = []
    measured = alternate(
        _FASTER,
        ("ours", _counting("ours", calls, [10.0, 20.0, 90.0])),
        ("theirs", _counting("theirs", calls, [10.0, 5.0, 30.0])),
        rounds=3,
        counted="accepted/s",
    )
    assert calls == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert measured.values == [1.0, 4.0, 3.0]
    assert measured.sides == {"ours": [10.0, 20.0, 90.0], "theirs": [10.0, 5.0, 30.0]}


def test_each_of_many_sides_begins_in_its_turn() -> None:
    calls: list[str] = []
    turns = take_turns({name: _counting(name, calls, [1.0, 2.0, 4.0]) for name in "abc"}, rounds=3)
    assert "".join(calls) == "abc" + "bca" + "cab"
    assert turns == {name: [1.0, 2.0, 4.0] for name in "abc"}


def test_any_two_sides_of_the_same_turns_can_be_compared() -> None:
    turns = {"a": [4.0, 9.0], "b": [2.0, 3.0], "c": [1.0, 1.0]}
    assert compare(_FASTER, turns, "a", "b", counted="x").values == [2.0, 3.0]
    assert set(compare(_FASTER, turns, "a", "c", counted="x").sides) == {"a", "c"}


# --- the page


def test_a_figure_is_a_row_with_its_promise_its_spread_and_the_verdict() -> None:
    text = _page(_measured(_FASTER, 14.0, 16.25, 120.0))
    row = next(table_rows(text))
    assert row == ["accepted/s", "an insert \\| each", "at least 15.0", "16.2 (14.0 - 120)", "yes"]


@pytest.mark.parametrize(
    ("unit", "promise", "spread"),
    [
        ("ms", "at most 5.00 ms", "7.00 ms (6.00 ms - 1,234 ms)"),
        ("MiB", "at most 5.00 MiB", "7.00 MiB (6.00 MiB - 1,234 MiB)"),
        ("ratio", "at most 5.00", "7.00 (6.00 - 1,234)"),
    ],
)
def test_a_promise_that_is_not_kept_is_said_in_its_unit(
    unit: Unit, promise: str, spread: str
) -> None:
    figure = Figure("latency", "", 5.0, unit=unit, at_least=False)
    row = next(table_rows(_page(Measured(figure, [6.0, 7.0, 1234.0], {}))))
    assert row == ["latency", "", promise, spread, "**no**"]


def test_a_figure_without_a_promise_is_for_information() -> None:
    row = next(table_rows(_page(_measured(Figure("accepted/s", "bare", 0.0), 0.5))))
    assert row[2:] == ["nothing", "0.50 (0.50 - 0.50)", "for information"]


def test_a_side_that_stands_in_two_figures_is_told_once() -> None:
    turns = {"ours": [3000.0, 4000.0], "one": [100.0, 90.0], "two": [1.0, 2.0]}
    text = _page(
        *(compare(Figure("a/s", name, 1.0), turns, "ours", name, counted="a/s") for name in turns)
    )
    rows = list(table_rows(text.partition("## What each side did")[2]))
    assert rows == [
        ["a/s", "ours", "3,500 a/s", "3,000 - 4,000"],
        ["a/s", "one", "95.0 a/s", "90.0 - 100"],
        ["a/s", "two", "1.50 a/s", "1.00 - 2.00"],
    ]


def test_two_values_of_a_name_that_differ_are_both_told() -> None:
    rows = [
        row
        for row in table_rows(_page(_measured(_FASTER, 16.0), _measured(_FASTER, 18.0)))
        if row[1] == "ours"
    ]
    assert [row[2] for row in rows] == ["1,600 accepted/s", "1,800 accepted/s"]


def test_the_page_says_when_on_what_and_how_to_repeat_it() -> None:
    text = _page(_measured(_FASTER, 16.0))
    for word in ("2026-11-29", "0.1.0 (abc1234)", "2 cores", "SQLite 3.40.1", "Size quick."):
        assert word in text
    assert "    make bench " in text
    assert "    make bench-quick" in text
    assert blocks(text) == []


def test_remarks_are_told_with_what_they_are_about() -> None:
    assert "## Remarks" not in _page(_measured(_FASTER, 16.0))
    text = _page(_measured(_FASTER, 16.0, remark="None was lost."))
    assert "- accepted/s, beside an insert | each: None was lost.\n" in text


def test_the_picture_is_shown_only_where_it_is() -> None:
    assert "profile.svg" not in _page(_measured(_FASTER, 16.0))
    assert "](profile.svg)" in _page(_measured(_FASTER, 16.0), picture=True)


def test_a_run_prints_the_figure_and_what_stands_behind_it() -> None:
    measured = _measured(_FASTER, 16.0, remark="None was lost.")
    assert line(measured) == (
        "accepted/s beside an insert | each: 16.0 (16.0 - 16.0); at least 15.0: yes"
    )
    assert list(details(measured)) == [
        "ours    1,600 (1,600 - 1,600) accepted/s",
        "theirs  100 (100 - 100) accepted/s",
        "None was lost.",
    ]
