"""One line of the table: what is measured, beside what, and how it came out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
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


def alternate(
    figure: Figure,
    ours: tuple[str, Callable[[], float]],
    theirs: tuple[str, Callable[[], float]],
    *,
    rounds: int,
    counted: str,
    remark: str = "",
) -> Measured:
    """Let two sides take turns, so that what else the machine does meets both; ours / theirs."""
    mine: list[float] = []
    others: list[float] = []
    for number in range(rounds):
        # Whoever begins finds a cooler machine: they take turns in that too.
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            (mine, others)[side].append((ours, theirs)[side][1]())
    return Measured(
        figure,
        values=[one / other for one, other in zip(mine, others, strict=True)],
        sides={ours[0]: mine, theirs[0]: others},
        counted=counted,
        remark=remark,
    )
