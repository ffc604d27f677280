"""How much is measured: as a test, in three minutes, in twenty, or in an hour."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bench.fleet.stage import Stage
from bench.speed.figure import Measured


@dataclass(frozen=True)
class Size:
    """How much is measured; each part takes what it needs of it."""

    name: str
    #: Alternations of two sides.
    rounds: int
    #: Of one side in one alternation.
    seconds: float
    #: How many messages are delivered by one side in one alternation.
    deliveries: int
    #: How many stand in the log when it is long.
    long_log: tuple[int, ...]
    #: How many wait, when many wait.
    pending: int
    #: How many messages go through one process, when its memory is looked at.
    through: int


SIZES = {
    one.name: one
    for one in (
        Size("test", 1, 0.3, 200, (2_000,), 1_000, 2_000),
        Size("quick", 3, 0.7, 1_000, (100_000,), 10_000, 5_000),
        Size("full", 5, 3.0, 8_000, (1_000_000, 5_000_000), 100_000, 150_000),
        # For memory, which takes half an hour then: `make bench-quick ARGS="memory --size long"`.
        Size("long", 5, 3.0, 8_000, (1_000_000, 5_000_000), 100_000, 1_000_000),
    )
}


@dataclass
class Context:
    """Where a part measures.

    Args:
        directory: of the part's own, on a real disk, open to the database's service user.
        open_stage: makes PostgreSQL and RabbitMQ for the bench alone, the first time it is asked.
    """

    size: Size
    directory: Path
    open_stage: Callable[[], Stage] = field(repr=False)

    def place(self, name: str) -> Path:
        """Make an empty directory of a new name."""
        number = sum(1 for _ in self.directory.iterdir())
        place = self.directory / f"{number:03}-{name}"
        place.mkdir()
        return place


#: Measures one subject, and gives its figures as they come out.
Part = Callable[[Context], Iterable[Measured]]
