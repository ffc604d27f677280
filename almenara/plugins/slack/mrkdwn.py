"""A message as Slack's own markup (mrkdwn): no text of a sender's can mention or ping anybody.

``&``, ``<`` and ``>`` are escaped everywhere; the only angle brackets are those of links made here,
and those lead to http, https and mailto addresses only. The work is linear in the length of the
text, whatever a sender wrote into it.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

from almenara import Message

#: Slack cuts a text behind this many characters.
LONGEST_TEXT = 40_000
_CUT = "…"
#: The longest of the entities made here, `&amp;`, without its last character.
_PART_OF_ENTITY = 4

_LINES = frozenset(
    {"address", "article", "blockquote", "br", "dd", "div", "dt", "footer", "h1", "h2", "h3", "h4"}
    | {"h5", "h6", "header", "hr", "li", "ol", "p", "pre", "section", "table", "tr", "ul"}
)
_UNSEEN = frozenset({"head", "script", "style", "template", "title"})
_LINKABLE = re.compile(r"(?:https?://|mailto:)[^\s<>]+", re.IGNORECASE)
_SPACES = re.compile(r"\s+")

_CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*|(?<!\w)__([^_\n]+)__(?!\w)")
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+([^\n]+)$", re.MULTILINE)
_ITALIC = re.compile(r"(?<![*\w])\*([^*\s\n](?:[^*\n]*[^*\s\n])?)\*(?![*\w])")
_STRUCK = re.compile(r"~~([^~\n]+)~~")
_BULLET = re.compile(r"^([ \t]*)[*+-][ \t]+", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\(((?:https?://|mailto:)[^\s()<>]+)\)", re.IGNORECASE)
#: Stands for `*` while bold is found first: a character that no text keeps.
_STAR = "\x00"


def render(message: Message) -> str:
    """Return the text to post: the title in bold, then the description, within Slack's limit."""
    text = _CONVERTERS[message.format](message.description)
    title = _SPACES.sub(" ", message.title or "").strip()
    if title:
        text = f"*{escape(title)}*\n{text}"
    return _shortened(text)


def escape(text: str) -> str:
    """Return the text with Slack's three control characters made harmless."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def from_markdown(text: str) -> str:
    """Return the basics of Markdown as Slack writes them; code stays as it is."""
    parts = _CODE.split(escape(text.replace(_STAR, "")))
    # Every second part is code: that is how `split` gives what its group has caught.
    return "".join(part if i % 2 else _marked(part) for i, part in enumerate(parts))


def from_html(html: str) -> str:
    """Return what a reader would see of the HTML, with its links."""
    reader = _Reader()
    # close() is never called: it rescans the rest for each unfinished tag, which took 34 s for
    # 80 KB of them. What feed() leaves over is read below, but for an unfinished tag.
    reader.feed(html)
    if not reader.rawdata.startswith("<"):
        reader.handle_data(reader.rawdata)
    lines = [line.strip() for line in "".join(reader.parts).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


_CONVERTERS = {"text": escape, "markdown": from_markdown, "html": from_html}


def _marked(text: str) -> str:
    text = _LINK.sub(lambda found: _link(found[2], found[1] or found[2]), text)
    text = _HEADING.sub(lambda found: f"{_STAR}{found[1].replace('**', '').strip()}{_STAR}", text)
    text = _BOLD.sub(lambda found: f"{_STAR}{found[1] or found[2]}{_STAR}", text)
    text = _BULLET.sub(r"\1• ", text)
    text = _ITALIC.sub(r"_\1_", text)
    return _STRUCK.sub(r"~\1~", text).replace(_STAR, "*")


def _link(address: str, label: str) -> str:
    """Return a link; address and label are escaped already."""
    return f"<{address.replace('|', '%7C')}|{label}>"


def _shortened(text: str) -> str:
    """Cut to Slack's limit, on a code point, not within an entity or a link."""
    if len(text) <= LONGEST_TEXT:
        return text
    cut = text[: LONGEST_TEXT - len(_CUT)]
    if cut.rfind("<") > cut.rfind(">"):
        cut = cut[: cut.rfind("<")]
    entity = cut.rfind("&", len(cut) - _PART_OF_ENTITY)
    if entity >= 0 and ";" not in cut[entity:]:
        cut = cut[:entity]
    return cut + _CUT


class _Reader(HTMLParser):
    """Collects the visible text, escaped, and the links."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen: str | None = None
        self._address: str | None = None
        self._label_begins = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a line where a block begins; remember where a link leads."""
        if tag in _UNSEEN and self._unseen is None:
            self._unseen = tag
        elif tag == "a":
            self._end_link()
            self._address = (dict(attrs).get("href") or "").strip()
            self._label_begins = len(self.parts)
        self._break(tag)
        if tag == "li":
            self.handle_data("• ")

    def handle_endtag(self, tag: str) -> None:
        """End the line where a block ends; make the link."""
        if tag == self._unseen:
            self._unseen = None
        elif tag == "a":
            self._end_link()
        self._break(tag)

    def handle_data(self, data: str) -> None:
        """Keep the text, with its runs of white space as one space."""
        if self._unseen is None:
            self.parts.append(escape(_SPACES.sub(" ", data)))

    def _break(self, tag: str) -> None:
        if tag in _LINES and self._unseen is None:
            self.parts.append("\n")

    def _end_link(self) -> None:
        """Make a link of the text since its tag; without an address to follow it stays text."""
        address, self._address = self._address, None
        if address is None or not _LINKABLE.fullmatch(address):
            return
        label = _SPACES.sub(" ", "".join(self.parts[self._label_begins :])).strip()
        del self.parts[self._label_begins :]
        self.parts.append(_link(escape(address), label or escape(address)))
