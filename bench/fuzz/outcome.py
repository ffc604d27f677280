"""What came of one part of a run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """How many cases there were, and what was wrong."""

    name: str
    cases: int = 0
    mistakes: list[str] = field(default_factory=list)

    def note(self, mistake: str) -> None:
        """Keep a mistake in one line of bounded length."""
        self.mistakes.append(mistake.encode("unicode_escape").decode()[:300])
