"""Reads HTML into blocks: the visible text, its styles and its links; style sheets are not read."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

from almenara.formats.blocks import Block, Kind, Span, Style, link_or_none

_STYLES: dict[str, Style] = {
    **dict.fromkeys(("b", "strong", "th"), "bold"),
    **dict.fromkeys(("i", "em", "cite"), "italic"),
    **dict.fromkeys(("s", "strike", "del"), "struck"),
    **dict.fromkeys(("code", "kbd", "samp", "tt"), "code"),
}
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "heading"),
    "li": "item",
    "blockquote": "quote",
    "pre": "code",
}
_LISTS = frozenset({"ul", "ol"})
#: What is nested deeper is read without its own marks.
_DEEPEST = 100
#: Those that begin a paragraph, or a line of their own.
_PARAGRAPHS = frozenset({"p", "ul", "ol", "table", "section", "article", "hr", "dl", "form"})
_LINES = frozenset({"div", "tr", "dt", "dd", "address", "header", "footer", "option", "main"})
_UNSEEN = frozenset({"head", "script", "style", "template", "title"})
_SPACES = re.compile(r"[ \t\r\n\f]+")


def read_html(html: str) -> list[Block]:
    """Return the blocks of an HTML text."""
    reader = _Reader()
    # close() is never called: on a text full of unfinished tags it rescans the rest for each of
    # them, which took minutes for 256 KiB. What feed() leaves over is read below.
    reader.feed(html)
    if not reader.rawdata.startswith("<"):  # else an unfinished tag, which browsers drop too
        reader.handle_data(unescape(reader.rawdata))
    reader.end_block()
    return reader.blocks


class _Reader(HTMLParser):
    """Collects blocks."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self._spans: list[Span] = []
        self._unseen: str | None = None
        #: Which tags are open that say something of the text, innermost last.
        self._open: list[str] = []
        self._links: list[str | None] = []
        #: Whether there was text since the last link has begun.
        self._labelled = False
        self._lists: list[int | None] = []
        self._marker = ""
        self._close = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a block, a style or a link."""
        if tag in _UNSEEN and self._unseen is None:
            self._unseen = tag
        elif tag == "a":
            self._links.append(link_or_none(dict(attrs).get("href")))
            self._labelled = False
        elif tag == "br":
            self._add("\n")
        elif tag == "img":
            self._add(dict(attrs).get("alt") or "")
        elif tag in {"td", "th"} and self._spans:
            self._add(" ")
        self._begin(tag, dict(attrs).get("start") or "1")

    def handle_endtag(self, tag: str) -> None:
        """End what has begun."""
        if tag == self._unseen:
            self._unseen = None
        elif tag == "a" and self._links:
            self._end_link()
        elif tag in _KINDS or tag in _PARAGRAPHS or tag in _LINES:
            self.end_block(close=tag in _LINES or tag == "li")
        if tag in self._open:
            # What was opened inside of it and never closed ends with it.
            at = len(self._open) - 1 - self._open[::-1].index(tag)
            ended = sum(one in _LISTS for one in self._open[at:])
            del self._open[at:]
            del self._lists[len(self._lists) - ended :]

    def handle_data(self, data: str) -> None:
        """Keep the text, with its runs of white space as one space, but for what is code."""
        if self._unseen is None:
            self._add(data if "pre" in self._open else _SPACES.sub(" ", data))

    def end_block(self, *, close: bool = False) -> None:
        """Make a block of the spans since the last one.

        Args:
            close: the next one follows without an empty line.
        """
        spans = _trimmed(self._spans)
        self._spans = []
        if spans:
            depth = max(len(self._lists) - 1, 0)
            self.blocks.append(Block(spans, self._kind(), depth, self._marker, close=self._close))
            self._marker = ""
        if spans or not close:
            self._close = close

    def _begin(self, tag: str, start: str) -> None:
        if tag in _KINDS or tag in _PARAGRAPHS or tag in _LINES:
            inner_list = tag in _LISTS and bool(self._lists)
            self.end_block(close=inner_list or tag in _LINES or tag == "li")
        if len(self._open) >= _DEEPEST:
            return
        if tag in _LISTS:
            number = int(start) if re.fullmatch(r"[0-9]{1,6}", start) else 1
            self._lists.append(number if tag == "ol" else None)
        elif tag == "li":
            self._end_item()
            self._marker = self._next_marker()
        if tag in _STYLES or tag in _KINDS or tag in _LISTS:
            self._open.append(tag)

    def _end_link(self) -> None:
        """A link without a label has its address as one."""
        if not self._labelled:
            self._add(self._links[-1] or "")
        self._links.pop()

    def _end_item(self) -> None:
        """An item ends where the next one of its list begins."""
        inside = len(self._open)
        while inside and self._open[inside - 1] not in _LISTS:
            inside -= 1
        if "li" in self._open[inside:]:
            del self._open[self._open.index("li", inside) :]

    def _kind(self) -> Kind:
        for tag in reversed(self._open):
            if tag in _KINDS:
                return _KINDS[tag]
        return "paragraph"

    def _next_marker(self) -> str:
        number = self._lists[-1] if self._lists else None
        if number is None:
            return "•"
        self._lists[-1] = number + 1
        return f"{number}."

    def _add(self, text: str) -> None:
        if not text or (text == " " and self._spans and self._spans[-1].text.endswith((" ", "\n"))):
            return
        self._labelled |= bool(text.strip())
        styles = frozenset(_STYLES[tag] for tag in self._open if tag in _STYLES)
        self._spans.append(Span(text, styles, self._links[-1] if self._links else None))


def _trimmed(spans: list[Span]) -> tuple[Span, ...]:
    """Drop the white space at both ends of a block."""
    while spans and not spans[0].text.strip():
        spans = spans[1:]
    while spans and not spans[-1].text.strip():
        spans = spans[:-1]
    if spans:
        first = spans[0]
        spans = [Span(first.text.lstrip(), first.styles, first.link), *spans[1:]]
        last = spans[-1]
        spans = [*spans[:-1], Span(last.text.rstrip(), last.styles, last.link)]
    return tuple(spans)
