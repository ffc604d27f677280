"""What a scenario is: a function of a stage and a size that returns a row of figures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bench.chaos.checker import Verdict

if TYPE_CHECKING:
    from bench.chaos.stage import Stage


class Size(StrEnum):
    """How much of a scenario is run."""

    #: Some seconds, inside `make test`.
    PR = "pr"
    #: The figures that are published.
    FULL = "full"


class CannotRun(Exception):  # noqa: N818 - it is no error: it says why something is left out
    """This machine cannot run the scenario; the text says what it lacks."""


@dataclass
class Row:
    """What one scenario came to."""

    scenario: str
    #: The faults in words, for the table: "200 kills".
    faults: str
    fault_count: int
    accepted: int = 0
    lost: int = 0
    accepted_twice: int = 0
    phantom: int = 0
    unlogged: int = 0
    duplicated: int = 0
    #: The longest from a fault's end until it worked again, in seconds; ``None``: not measured.
    worst_recovery_seconds: float | None = None
    #: What else was measured.
    figures: dict[str, Any] = field(default_factory=dict)
    #: What is wrong, one sentence each; empty: passed.
    failures: list[str] = field(default_factory=list)
    #: What the scenario does, in a sentence: the first line of its docstring.
    about: str = ""
    seconds: float = 0.0
    #: Why it was not run.
    skipped: str | None = None

    @classmethod
    def of(cls, verdict: Verdict, *, scenario: str, faults: str, fault_count: int) -> Row:
        """Begin a row with what the checker found."""
        return cls(
            scenario=scenario,
            faults=faults,
            fault_count=fault_count,
            accepted=verdict.accepted,
            lost=verdict.lost,
            accepted_twice=verdict.accepted_twice,
            phantom=verdict.phantom,
            unlogged=verdict.unlogged,
            duplicated=verdict.duplicated,
            worst_recovery_seconds=verdict.worst_resend_seconds,
            failures=list(verdict.failures),
        )

    @property
    def passed(self) -> bool:
        """Whether it ran, and nothing is wrong."""
        return self.skipped is None and not self.failures

    def as_dict(self) -> dict[str, Any]:
        """Return the row for a line of JSON."""
        return asdict(self) | {"passed": self.passed}


Scenario = Callable[["Stage", Size], Awaitable[Row]]
