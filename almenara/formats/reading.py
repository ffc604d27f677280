"""Reads what a sender wrote into blocks.

Markdown is CommonMark with struck text, by markdown-it; HTML in it is text. Of HTML, what a reader
would see. The work is linear in the length of the text, whatever is written in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from almenara.formats.blocks import Block, Span, Style, link_or_none
from almenara.formats.html import read_html
from almenara.plugin import Format

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_MOST_BRACKETS = 2_000
#: Nobody writes deeper on purpose, and what reads it nests as deep.
_DEEPEST = 100
#: By the tag that each would be in HTML.
_STYLES: dict[str, Style] = {"strong": "bold", "em": "italic", "s": "struck"}


def read(text: str, format_: Format) -> list[Block]:
    """Return the blocks of a text.

    Args:
        text: what the sender wrote.
        format_: how it is written.
    """
    blocks: list[Block] = []
    # Each opening bracket costs the parser thirty times what a letter costs; nobody links so often.
    if format_ == "markdown" and text.count("[") <= _MOST_BRACKETS:
        blocks = _Markdown().read(_parser().parse(text))
    elif format_ == "html":
        blocks = read_html(text)
    # What is nested too deep is dropped by the parser: then it is better to show the source.
    return blocks or [Block((Span(text),))]


@cache
def _parser() -> MarkdownIt:
    # With the first Markdown that comes: most servers start faster than they would need it.
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _DEEPEST})
    return parser.enable("strikethrough")


class _Markdown:
    """Makes blocks of markdown-it's tokens."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        #: The lists that are open: the number of the next item, or none.
        self._lists: list[int | None] = []
        self._quotes = 0
        self._heading = False
        self._marker = ""
        #: Whether the last block was an item, which the next one follows without an empty line.
        self._tight = False

    def read(self, tokens: list[Token]) -> list[Block]:
        """Return the blocks of all tokens."""
        for token in tokens:
            work = getattr(self, f"_{token.type}", None)
            if work is not None:
                work(token)
        return self.blocks

    def _bullet_list_open(self, _token: Token) -> None:
        self._lists.append(None)

    def _ordered_list_open(self, token: Token) -> None:
        self._lists.append(int(token.attrs.get("start", 1)))

    def _bullet_list_close(self, _token: Token) -> None:
        self._lists.pop()
        self._tight = bool(self._lists)

    _ordered_list_close = _bullet_list_close

    def _list_item_open(self, _token: Token) -> None:
        number = self._lists[-1]
        self._marker = "•" if number is None else f"{number}."
        if number is not None:
            self._lists[-1] = number + 1

    def _blockquote_open(self, _token: Token) -> None:
        self._quotes += 1

    def _blockquote_close(self, _token: Token) -> None:
        self._quotes -= 1

    def _heading_open(self, _token: Token) -> None:
        self._heading = True

    def _heading_close(self, _token: Token) -> None:
        self._heading = False

    def _fence(self, token: Token) -> None:
        self._add(Block((Span(token.content.rstrip("\n")),), "code"))

    _code_block = _fence

    def _hr(self, _token: Token) -> None:
        self._add(Block((Span("———"),)))

    def _inline(self, token: Token) -> None:
        spans = tuple(_Inline().read(token.children or []))
        if self._lists and not self._heading:
            depth = len(self._lists) - 1
            self._add(Block(spans, "item", depth, self._marker, close=self._tight), tight=True)
            self._marker = ""
        elif self._heading:
            self._add(Block(spans, "heading"))
        else:
            self._add(Block(spans, "quote" if self._quotes else "paragraph"))

    def _add(self, block: Block, *, tight: bool = False) -> None:
        self.blocks.append(block)
        self._tight = tight


class _Inline:
    """Makes spans of the tokens of one paragraph."""

    def __init__(self) -> None:
        self._styles: list[Style] = []
        self._links: list[str | None] = []

    def read(self, tokens: list[Token]) -> Iterator[Span]:
        """Give the spans of all tokens."""
        before: Token | None = None
        for token in tokens:
            if before is not None and before.type == "link_open" and token.type == "link_close":
                yield self._span(self._links[-1] or "")  # without a label, the address is one
            before = token
            if token.nesting:
                self._open_or_close(token)
            elif token.type in {"softbreak", "hardbreak"}:
                yield self._span("\n")
            elif token.type == "code_inline":
                yield self._span(token.content, "code")
            elif token.type == "image":
                address = link_or_none(str(token.attrs.get("src", "")))
                yield self._span(token.content or address or "", link=address)
            else:
                yield self._span(token.content)

    def _open_or_close(self, token: Token) -> None:
        stack: list[Any] = self._links if token.tag == "a" else self._styles
        if token.nesting < 0:
            stack.pop()
        elif token.tag == "a":
            stack.append(link_or_none(str(token.attrs.get("href", ""))))
        else:
            stack.append(_STYLES[token.tag])

    def _span(self, text: str, *styles: Style, link: str | None = None) -> Span:
        current = self._links[-1] if self._links else None
        return Span(text, frozenset([*self._styles, *styles]), current or link)
