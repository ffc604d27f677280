"""Reads the documentation as its readers do: headings, code blocks, links, tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.house_rules import repository_files

ROOT = Path(__file__).parent.parent
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block of code."""

    language: str
    text: str


def read(name: str) -> str:
    """Return the text of a page, by its path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str | None = None) -> list[Block]:
    """Return the code blocks of a page in order, of one language or of all."""
    found = [Block(match[1], match[2]) for match in _FENCE.finditer(text)]
    return [one for one in found if language in {None, one.language}]


def prose(text: str) -> str:
    """Return a page without its code blocks."""
    return _FENCE.sub("", text)


def heading_levels(text: str) -> list[int]:
    """Return how deep each heading stands."""
    return [len(marks) for marks in re.findall(r"^(#+) ", prose(text), re.MULTILINE)]


def table_rows(text: str) -> Iterator[list[str]]:
    """Give the cells of each row of each table, heads left out."""
    for line, following in zip(text.splitlines(), [*text.splitlines()[1:], ""], strict=True):
        if line.startswith("| ") and not following.startswith("|---"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def words(cell: str) -> set[str]:
    """Return the words in code of one cell."""
    return set(re.findall(r"`([^`]+)`", cell))


def broken_links(root: Path = ROOT) -> Iterator[str]:
    """Name every link between files of the repository that leads nowhere."""
    for page in (path for path in repository_files(root) if path.suffix == ".md"):
        text = prose(page.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            if "://" in target:
                continue
            goal = page.parent / path if path else page
            if not goal.exists():
                yield f"{page.relative_to(root)}: {target} is not there"
            elif anchor and anchor not in _anchors(goal.read_text(encoding="utf-8")):
                yield f"{page.relative_to(root)}: {target} has no such heading"


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
