"""Writes the page of figures, and the lines of a run: pure, from what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from bench.speed.figure import Figure, Measured

PICTURE = "profile.svg"

_ABOUT = """\
# Benchmarks

How fast Almenara is, beside other ways to do the same: `make bench` measures all of it and writes
this page.

Each figure is the median of rounds in which the sides took turns on one machine, so that what else
that machine did met both; beside it stand its least and its most. A ratio is ours to theirs within
one round. The servers, the receivers, the databases and the load generator share the processors, so
rates are lower than on machines of their own, and it is the ratios that count.
"""
_REFERENCES = """\
## What it is held against

The references stand in `bench/references`, each with its choices in its first lines. They are
written by us, with the defaults of what they use; where a choice was left, the faster one was
taken. None checks tokens or limits, tries again, or takes up what a crash left behind.
"""
_REPEAT = """\
## How to repeat it

    make bench          # all of it, about twenty minutes; writes this page
    make bench-quick    # about three minutes, and writes nothing
    make bench-quick ARGS="accepting delivering"

It needs Linux, PostgreSQL's programs, and a RabbitMQ on the machine where the bench is run as root
(or an unused virtual host of one, named by `--own-broker-url`). `--directory` says where the
databases lie; take a disk on which syncing costs what it costs in earnest.
"""


def page(
    measured: Sequence[Measured], *, machine: Mapping[str, str], run: str, picture: bool
) -> str:
    """Return the whole page.

    Args:
        machine: as :func:`bench.chaos.machine.describe_machine` has it.
        run: how it was measured, as one sentence.
        picture: whether ``PICTURE`` stands beside the page.
    """
    parts = [
        _ABOUT,
        f"{machine['date']}, Almenara {machine['almenara']}. {run}\n",
        f"{machine['machine']}.\n{machine['versions']}.\n",
        "## The figures\n\n" + "".join(_figures(measured)),
        "## What each side did\n\n" + "".join(_rates(measured)),
    ]
    if remarks := "".join(_remarks(measured)):
        parts.append(f"## Remarks\n\n{remarks}")
    if picture:
        parts.append(
            "## Where the time goes\n\nOne process that accepts and sends, by the share of its "
            "time; `bench/speed/flame.py` draws it, and says how. What stands in the way of more: "
            "[Where the time goes](where-the-time-goes.md).\n\n"
            f"![Profile of the server]({PICTURE})\n"
        )
    return "\n".join([*parts, _REFERENCES, _REPEAT])


def line(one: Measured) -> str:
    """Return a figure as a run prints it."""
    figure = one.figure
    beside = f" beside {figure.reference}" if figure.reference else ""
    return f"{figure.what}{beside}: {_spread(one)}; {_promise(figure)}: {_verdict(one)}"


def details(one: Measured) -> Iterator[str]:
    """Give what stands behind a figure: a line for each side, and the remark."""
    width = max((len(name) for name in one.sides), default=0)
    for name, values in one.sides.items():
        yield f"{name:{width}}  {_rate_spread(values)} {one.counted}"
    if one.remark:
        yield one.remark


def _figures(measured: Sequence[Measured]) -> Iterator[str]:
    yield "| what | beside | promised | measured (least - most) | reached |\n"
    yield "|---|---|---|---|---|\n"
    for one in measured:
        figure = one.figure
        cells = (figure.what, figure.reference, _promise(figure), _spread(one), _verdict(one))
        yield f"| {' | '.join(_cell(text) for text in cells)} |\n"


def _rates(measured: Sequence[Measured]) -> Iterator[str]:
    """Give the second table: a side that stands in several figures of one run once."""
    yield "| what | side | median | least - most |\n|---|---|---|---|\n"
    for _, group in groupby(measured, key=lambda one: (one.figure.what, one.counted)):
        said: dict[str, Sequence[float]] = {}
        for one in group:
            for name, values in one.sides.items():
                if said.get(name) == values:
                    continue
                said[name] = values
                what = f"{_cell(one.figure.what)} | {_cell(name)}"
                median = f"{_number(statistics.median(values))} {one.counted}".strip()
                yield f"| {what} | {median} | {_range(values)} |\n"


def _remarks(measured: Sequence[Measured]) -> Iterator[str]:
    for one in measured:
        if one.remark:
            beside = f", beside {one.figure.reference}" if one.figure.reference else ""
            yield f"- {one.figure.what}{beside}: {one.remark}\n"


def _promise(figure: Figure) -> str:
    """Say what is promised; nothing is where any value would do."""
    if _free(figure):
        return "nothing"
    return f"{'at least' if figure.at_least else 'at most'} {_value(figure, figure.reach)}"


def _verdict(one: Measured) -> str:
    if _free(one.figure):
        return "for information"
    return "yes" if one.reached else "**no**"


def _free(figure: Figure) -> bool:
    return figure.at_least and figure.reach <= 0


def _spread(one: Measured) -> str:
    least, most = (_value(one.figure, value) for value in (min(one.values), max(one.values)))
    return f"{_value(one.figure, one.median)} ({least} - {most})"


def _value(figure: Figure, value: float) -> str:
    return _number(value) if figure.unit == "ratio" else f"{_number(value)} {figure.unit}"


def _rate_spread(values: Sequence[float]) -> str:
    return f"{_number(statistics.median(values))} ({_range(values)})"


def _range(values: Sequence[float]) -> str:
    return f"{_number(min(values))} - {_number(max(values))}"


def _number(value: float) -> str:
    """Write a number with three digits that say something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
