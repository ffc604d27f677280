"""What a formatted text is made of: blocks, one below the other, of spans in styles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["paragraph", "heading", "item", "quote", "code"]
Style = Literal["bold", "italic", "struck", "code"]

_LINKABLE = re.compile(r"(?:https?://|mailto:)[^\s<>\"]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text in one style; line ends in it are line ends."""

    text: str
    styles: frozenset[Style] = frozenset()
    #: An address of http, https or mailto.
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph or its like."""

    spans: tuple[Span, ...]
    kind: Kind = "paragraph"
    #: How deep a list is inside others.
    depth: int = 0
    #: What stands before a list's item: ``•``, or ``1.``.
    marker: str = ""
    #: Whether it follows the one before without an empty line.
    close: bool = False

    @property
    def text(self) -> str:
        """The text of all spans."""
        return "".join(span.text for span in self.spans)


def link_or_none(address: str | None) -> str | None:
    """Return an address that may be a link; ``None`` for all others, such as ``javascript:``."""
    address = (address or "").strip()
    return address if _LINKABLE.fullmatch(address) else None


def length_of(blocks: Iterable[Block]) -> int:
    """Return how many characters there are in all blocks."""
    return sum(len(block.text) for block in blocks)


def first_characters(blocks: Sequence[Block], count: int) -> list[Block]:
    """Return as many blocks as have so many characters, the last of them cut."""
    kept: list[Block] = []
    for block in blocks:
        if count <= 0:
            break
        spans = []
        for span in block.spans:
            if count <= 0:
                break
            spans.append(replace(span, text=span.text[:count]))
            count -= len(span.text)
        kept.append(replace(block, spans=tuple(spans)))
    return kept
