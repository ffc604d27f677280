"""What the generated pages have in common."""
# ruff: noqa: INP001 - a folder of pages with a few scripts is no package

from __future__ import annotations

from collections.abc import Sequence

NOTE = "<!-- Written by `python -m docs.generate`; change the code, not this page. -->\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str | None]]) -> list[str]:
    """Write a table."""
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join((cell or '') for cell in row)} |" for row in rows),
    ]
