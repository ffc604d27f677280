"""How services write formatted text: one dialect each, from the same blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape as escape_html
from itertools import groupby

from almenara.formats.blocks import Block, Span, Style

Pair = tuple[str, str]


@dataclass(frozen=True)
class Dialect:
    """Marks of one way to write."""

    #: Makes a text's own characters harmless.
    escape: Callable[[str], str]
    #: What stands before and behind a text of a style.
    styles: dict[Style, Pair]
    #: Makes a link of a label, which is escaped, and an address, which is not.
    link: Callable[[str, str], str]
    #: What stands around a block of code, and how its text is escaped.
    code: Pair
    escape_code: Callable[[str], str]
    #: What stands around a heading.
    heading: Pair = ("", "")
    #: What stands around a quote, and before each of its lines.
    quote: Pair = ("", "")
    quote_line: str = ""
    #: Whether marks in a link's label are read as text.
    plain_labels: bool = False
    #: How a line ends within a paragraph.
    newline: str = "\n"


def write(blocks: Sequence[Block], dialect: Dialect) -> str:
    """Return the blocks as a dialect has them, one below the other."""
    parts: list[str] = []
    for block in blocks:
        if parts:
            parts.append("\n" if block.close else "\n\n")
        parts.append(_block(block, dialect))
    return "".join(parts)


def _block(block: Block, dialect: Dialect) -> str:
    if block.kind == "code":
        before, behind = dialect.code
        return f"{before}{dialect.escape_code(block.text)}{behind}"
    text = "".join(
        _linked("".join(_span(span, dialect) for span in spans), link, dialect)
        for link, spans in groupby(_joined(_plainer(block, dialect)), key=lambda span: span.link)
    )
    if block.kind == "heading" and text:
        return text.join(dialect.heading)
    if block.kind == "quote":
        lines = "\n".join(dialect.quote_line + line for line in text.split("\n"))
        return lines.join(dialect.quote)
    if block.kind == "item":
        marker = f"{block.marker} " if block.marker else "  "
        return f"{'  ' * block.depth}{marker}{text}"
    return text


def _plainer(block: Block, dialect: Dialect) -> list[Span]:
    """Drop the styles whose marks would be read as something else, or as text."""
    bold = block.kind == "heading" and dialect.heading == dialect.styles.get("bold")
    return [
        Span(
            span.text,
            frozenset()
            if span.link and dialect.plain_labels
            else span.styles - ({"bold"} if bold else set()),
            span.link,
        )
        for span in block.spans
    ]


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Join neighbours of one style: two pairs of marks side by side are read as something else."""
    joined: list[Span] = []
    for span in spans:
        last = joined[-1] if joined else None
        if last and (last.styles, last.link) == (span.styles, span.link):
            joined[-1] = Span(last.text + span.text, span.styles, span.link)
        elif span.text:
            joined.append(span)
    return joined


def _span(span: Span, dialect: Dialect) -> str:
    # Marks must touch the text: white space at its ends goes outside of them.
    core = span.text.strip()
    if not core:
        return span.text.replace("\n", dialect.newline)
    before, _, behind = span.text.partition(core)
    styled = "code" in span.styles
    text = dialect.escape_code(core) if styled else dialect.escape(core)
    for style in ("code", "struck", "italic", "bold"):
        if style in span.styles:
            text = text.join(dialect.styles.get(style, ("", "")))
    return f"{before}{text}{behind}".replace("\n", dialect.newline)


def _linked(text: str, link: str | None, dialect: Dialect) -> str:
    label = text.strip()
    if link is None or not label:
        return text
    before, _, behind = text.partition(label)
    return f"{before}{dialect.link(label, link)}{behind}"


def _same(text: str) -> str:
    return text


def _with_address(label: str, address: str) -> str:
    plain = address.removeprefix("mailto:")
    return label if label in {address, plain} else f"{label} ({plain})"


#: Text alone; a link's address stands behind its label.
TEXT = Dialect(
    escape=_same, styles={}, link=_with_address, code=("", ""), escape_code=_same, quote_line="> "
)

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>~|#])")
_LINE_STARTS = re.compile(r"^(\s*)([-+=]|\d+[.)])(?=\s|$|=)", re.MULTILINE)


def _escape_markdown(text: str) -> str:
    escaped = _MARKDOWN.sub(r"\\\1", text)
    return _LINE_STARTS.sub(lambda found: f"{found[1]}{_before_last(found[2])}", escaped)


def _before_last(marker: str) -> str:
    """Return a list's marker with a backslash where CommonMark reads it as text."""
    return f"{marker[:-1]}\\{marker[-1]}"


def _markdown_code(text: str) -> str:
    # A fence cannot be escaped; a character of no width keeps three ticks from being one.
    return text.replace("```", "`\u200b``")


def _markdown_link(label: str, address: str) -> str:
    return f"[{label}]({address.replace('(', '%28').replace(')', '%29')})"


#: CommonMark with struck text, as chats read it.
MARKDOWN = Dialect(
    escape=_escape_markdown,
    styles={
        "bold": ("**", "**"),
        "italic": ("*", "*"),
        "struck": ("~~", "~~"),
        "code": ("`", "`"),
    },
    link=_markdown_link,
    code=("```\n", "\n```"),
    escape_code=_markdown_code,
    heading=("**", "**"),
    quote_line="> ",
)


def _html_link(label: str, address: str) -> str:
    return f'<a href="{escape_html(address)}">{label}</a>'


def _escape_html(text: str) -> str:
    return escape_html(text, quote=False)


#: The few tags that every service knows; line ends are line ends.
HTML = Dialect(
    escape=_escape_html,
    styles={
        "bold": ("<b>", "</b>"),
        "italic": ("<i>", "</i>"),
        "struck": ("<s>", "</s>"),
        "code": ("<code>", "</code>"),
    },
    link=_html_link,
    code=("<pre>", "</pre>"),
    escape_code=_escape_html,
    heading=("<b>", "</b>"),
    quote=("<blockquote>", "</blockquote>"),
)


_CHAT_STYLES: dict[Style, Pair] = {
    "bold": ("*", "*"),
    "italic": ("_", "_"),
    "struck": ("~", "~"),
    "code": ("`", "`"),
}


def _chat_link(label: str, address: str) -> str:
    return f"<{address.replace('|', '%7C')}|{label}>"


def _escape_chat(text: str) -> str:
    return text.replace("<", "\u2039").replace(">", "\u203a")


#: Google Chat's own marks, which it cannot escape; angle brackets become their look-alikes, so that
#: a sender's text can mention nobody.
GOOGLE_CHAT = Dialect(
    escape=_escape_chat,
    styles=_CHAT_STYLES,
    link=_chat_link,
    code=("```\n", "\n```"),
    escape_code=_markdown_code,
    heading=("*", "*"),
    quote_line="> ",
)


def _slack_link(label: str, address: str) -> str:
    return _chat_link(label, _escape_html(address))


def _slack_code(text: str) -> str:
    return _markdown_code(_escape_html(text))


#: Slack's marks (mrkdwn). Its three control characters are written as entities: the only angle
#: brackets are those of links, so that a sender's text can mention nobody.
SLACK = Dialect(
    escape=_escape_html,
    styles=_CHAT_STYLES,
    link=_slack_link,
    code=("```\n", "\n```"),
    escape_code=_slack_code,
    heading=("*", "*"),
    quote_line="&gt; ",
    plain_labels=True,
)
