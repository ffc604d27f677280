"""A message as one text of a dialect, within a service's limit."""

from __future__ import annotations

import re
from typing import Literal

from almenara.formats.blocks import Block, Span, first_characters, length_of
from almenara.formats.dialects import GOOGLE_CHAT, HTML, MARKDOWN, SLACK, TEXT, Dialect, write
from almenara.formats.reading import read
from almenara.plugin import Message

#: What services count: characters (code points), those of UTF-16, or bytes of UTF-8.
Unit = Literal["characters", "utf16", "bytes"]

_CUT = "…"
#: Of a longer text only so many times the limit is read, and so many characters at the least: marks
#: are seldom more than the text.
_READ_TIMES, _READ_AT_LEAST = 3, 10_000
_SPACES = re.compile(r"\s+")


def as_text(
    message: Message, *, limit: int | None = None, unit: Unit = "characters", title: bool = True
) -> str:
    """Return a message as text alone, its links behind their labels.

    Args:
        message: what is sent.
        limit: how long the text may be; it is cut, with an ellipsis at its end.
        unit: what the limit counts.
        title: whether the message's title is the first line; a service with a field of its own
            for the title takes it from the message.
    """
    return render(message, TEXT, limit=limit, unit=unit, title=title)


def as_markdown(
    message: Message, *, limit: int | None = None, unit: Unit = "characters", title: bool = True
) -> str:
    """Return a message as Markdown (CommonMark, with ``~~struck~~``); arguments as `as_text`."""
    return render(message, MARKDOWN, limit=limit, unit=unit, title=title)


def as_html(
    message: Message, *, limit: int | None = None, unit: Unit = "characters", title: bool = True
) -> str:
    """Return a message as HTML of b, i, s, code, pre, a and blockquote; arguments as `as_text`.

    Lines end as they do in text: a page needs ``white-space: pre-wrap`` or ``<br>``.
    """
    return render(message, HTML, limit=limit, unit=unit, title=title)


def as_chat_marks(
    message: Message, *, limit: int | None = None, unit: Unit = "characters", title: bool = True
) -> str:
    """Return a message with Google Chat's marks (``*bold*``, ``<url|label>``), as `as_text`."""
    return render(message, GOOGLE_CHAT, limit=limit, unit=unit, title=title)


def as_mrkdwn(
    message: Message, *, limit: int | None = None, unit: Unit = "characters", title: bool = True
) -> str:
    """Return a message as Slack's mrkdwn (``*bold*``, ``<url|label>``, ``&lt;``), as `as_text`."""
    return render(message, SLACK, limit=limit, unit=unit, title=title)


def render(
    message: Message,
    dialect: Dialect,
    *,
    limit: int | None = None,
    unit: Unit = "characters",
    title: bool = True,
) -> str:
    """Return a message in a dialect, never longer than a limit and never cut within its marks."""
    text = message.description
    if limit is not None:
        text = text[: max(limit * _READ_TIMES, _READ_AT_LEAST)]
    blocks = read(text, message.format)
    heading = _SPACES.sub(" ", message.title or "").strip() if title else ""
    if heading:
        first = Block((Span(heading),), "heading")
        # A plain text follows its title at once, as it does in a chat.
        rest = [Block(one.spans, one.kind, one.depth, one.marker, close=True) for one in blocks[:1]]
        blocks = [first, *rest, *blocks[1:]]
    written = write(blocks, dialect)
    if limit is None or measure(written, unit) <= limit:
        return written
    return _longest_fitting(blocks, dialect, limit, unit)


def measure(text: str, unit: Unit = "characters") -> int:
    """Return how long a text is in a unit."""
    if unit == "characters":
        return len(text)
    if unit == "utf16":
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    return len(text.encode("utf-8", "surrogatepass"))


def cut(text: str, limit: int, unit: Unit = "characters") -> str:
    """Return a text without marks within a limit, with an ellipsis where it was cut."""
    if measure(text, unit) <= limit:
        return text
    return _longest_fitting([Block((Span(text),))], TEXT, limit, unit)


def _longest_fitting(blocks: list[Block], dialect: Dialect, limit: int, unit: Unit) -> str:
    """Find by halves how many characters may stay for the whole to fit."""
    fits, too_many = 0, min(length_of(blocks), limit) + 1
    best = ""
    while too_many - fits > 1:
        count = (fits + too_many) // 2
        kept = first_characters(blocks, count)
        last = kept[-1]
        kept[-1] = Block(
            (*last.spans, Span(_CUT)), last.kind, last.depth, last.marker, close=last.close
        )
        written = write(kept, dialect)
        if measure(written, unit) <= limit:
            fits, best = count, written
        else:
            too_many = count
    return best
