"""HTML as plain text: the alternative for mail programs that show no HTML.

The work is linear in the length of the HTML, whatever a sender wrote into it.
"""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

_PARAGRAPHS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "dl", "fieldset", "footer", "form"}
    | {"h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre"}
    | {"section", "table", "ul"}
)
_LINES = frozenset({"br", "dd", "div", "dt", "li", "option", "tr"})
_CELLS = frozenset({"td", "th"})
_UNSEEN = frozenset({"head", "script", "style", "template", "title"})
_SPACES = re.compile(r"[ \t\r\n\f]+")


def html_to_text(html: str) -> str:
    """Return what a reader would see of the HTML: paragraphs, list items, links with addresses."""
    reader = _Reader()
    # close() is never called: on a text full of unfinished tags it rescans the rest for each of
    # them, which took minutes for 256 KiB. What feed() leaves over is read below.
    reader.feed(html)
    if not reader.rawdata.startswith("<"):  # else an unfinished tag, which browsers drop too
        reader.handle_data(unescape(reader.rawdata))
    lines = [line.strip() for line in "".join(reader.parts).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Reader(HTMLParser):
    """Collects the visible text; knows nothing of style sheets."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen: str | None = None
        self._links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Break the line where a block begins; remember where a link leads."""
        if tag in _UNSEEN and self._unseen is None:
            self._unseen = tag
        elif tag == "a":
            self._links.append(dict(attrs).get("href") or "")
        elif tag == "img":
            self.handle_data(dict(attrs).get("alt") or "")
        self._break(tag)
        if tag == "li":
            self.parts.append("- ")

    def handle_endtag(self, tag: str) -> None:
        """Break the line where a block ends; write a link's address behind its text."""
        if tag == self._unseen:
            self._unseen = None
        elif tag == "a" and self._links:
            target = self._links.pop()
            if target.startswith(("http://", "https://", "mailto:")) and target != self._last():
                self.handle_data(f" ({target})")
        if tag in _PARAGRAPHS:
            self._break(tag)

    def handle_data(self, data: str) -> None:
        """Keep the text with its runs of white space as one space."""
        if self._unseen is None:
            self.parts.append(_SPACES.sub(" ", data))

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self.parts.append("\n\n")
        elif tag in _LINES:
            self.parts.append("\n")
        elif tag in _CELLS:
            self.parts.append(" ")

    def _last(self) -> str:
        return self.parts[-1].strip() if self.parts else ""
