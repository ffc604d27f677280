"""One line of the table: what is measured, beside what, and how it came out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

#: What a figure counts; ``ratio`` has none.
Unit = Literal["ratio", "ms", "s", "MiB", "%"]


@dataclass(frozen=True)
class Figure:
    """A promise.

    Args:
        what: as the table names it.
        reference: beside what; empty for a figure that stands alone.
        reach: what is promised, in the unit.
        at_least: whether more is better.
    """

    what: str
    reference: str
    reach: float
    unit: Unit = "ratio"
    at_least: bool = True


@dataclass(frozen=True)
class Measured:
    """A figure as it came out: one value for each alternation.

    Args:
        sides: what each side did, by its name, a value for each alternation (such as messages a
            second); empty for a figure that stands alone.
        remark: what a reader has to know; one sentence.
    """

    figure: Figure
    values: Sequence[float]
    sides: dict[str, Sequence[float]]
    #: What the sides count, such as "accepted/s".
    counted: str = ""
    remark: str = ""

    @property
    def median(self) -> float:
        """The value that is held against the promise."""
        return statistics.median(self.values)

    @property
    def reached(self) -> bool:
        """Whether the promise is kept."""
        if self.figure.at_least:
            return self.median >= self.figure.reach
        return self.median <= self.figure.reach


def take_turns(
    sides: Mapping[str, Callable[[], float]], *, rounds: int
) -> dict[str, Sequence[float]]:
    """Let sides take turns, so that what else the machine does meets all of them.

    Returns:
        what each came to, a value for each round.
    """
    names, values = list(sides), {name: list[float]() for name in sides}
    for number in range(rounds):
        # Whoever begins finds a cooler machine: they take turns in that too.
        first = number % len(names)
        for name in names[first:] + names[:first]:
            values[name].append(sides[name]())
    return dict(values)


def compare(
    figure: Figure,
    turns: Mapping[str, Sequence[float]],
    ours: str,
    theirs: str,
    *,
    counted: str,
    remark: str = "",
) -> Measured:
    """Hold two of the sides that took turns against each other, round by round; ours / theirs."""
    return Measured(
        figure,
        values=[one / other for one, other in zip(turns[ours], turns[theirs], strict=True)],
        sides={ours: turns[ours], theirs: turns[theirs]},
        counted=counted,
        remark=remark,
    )


def alternate(
    figure: Figure,
    ours: tuple[str, Callable[[], float]],
    theirs: tuple[str, Callable[[], float]],
    *,
    rounds: int,
    counted: str,
    remark: str = "",
) -> Measured:
    """Let two sides take turns, and hold them against each other; ours / theirs."""
    turns = take_turns(dict((ours, theirs)), rounds=rounds)
    return compare(figure, turns, ours[0], theirs[0], counted=counted, remark=remark)
