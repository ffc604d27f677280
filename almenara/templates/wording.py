"""A message in the words of its channel's or its topic's template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape as escape_html
from typing import Any, Final

from almenara.errors import PermanentError, TemplateError
from almenara.formats import as_html, as_markdown, as_text, cut
from almenara.plugin import Format, Message
from almenara.templates.filters import Safe
from almenara.templates.rendering import Template

#: The longest title that a message may have.
LONGEST_TITLE: Final = 255
_SPACES: Final = re.compile(r"\s+")
_CODE: Final = re.compile(r"(<pre>.*?</pre>)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Words:
    """A template as a channel or a topic has it: a title, a text, or both."""

    title: str | None = None
    body: str | None = None
    #: What the text is written in.
    format: Format = "text"

    @classmethod
    def stored(cls, value: Mapping[str, Any] | None) -> Words | None:
        """Return what a row holds."""
        return None if value is None else cls(**value)

    def check(self) -> None:
        """Raise when a part cannot be read.

        Raises:
            TemplateError: names the part and the line.
        """
        for part, source, format in (  # noqa: A001 - the field's name
            ("title", self.title, "text"),
            ("body", self.body, self.format),
        ):
            try:
                Template(source or "", format)  # type: ignore[arg-type]  # two literals
            except TemplateError as error:
                raise TemplateError(
                    f"The {part} template cannot be read: {error.message}."
                ) from error


def put_in_words(message: Message, *, channel: Words | None, topic: Words | None) -> None:
    """Write a message's title and text anew, by the channel's template, else by the topic's.

    Each part by itself: a channel may have a text of its own under its topic's title. Both see the
    message as it was received. It may work for a second: call it in a thread.

    Args:
        message: a copy of its own.

    Raises:
        PermanentError: a template cannot be filled with this message; says which, and what to do.
    """
    owners = ((f"channel {message.channel}", channel), (f"topic {message.topic}", topic))
    title = next(((name, one.title) for name, one in owners if one and one.title), None)
    body = next(((name, one) for name, one in owners if one and one.body), None)
    written = None if title is None else _filled(message, "title", title[0], title[1], "text")
    if body is not None:
        name, words = body
        text = _filled(message, "body", name, words.body or "", words.format)
        if not text.strip():
            raise _refused("body", name, "it makes an empty text")
        message.description, message.format = text, words.format
    if written is not None:
        message.title = cut(_SPACES.sub(" ", written).strip(), LONGEST_TITLE) or None


def _filled(message: Message, part: str, owner: str, source: str, format: Format) -> str:  # noqa: A002 - the field's name
    try:
        return Template(source, format).render(values_of(message, format))
    except TemplateError as error:
        raise _refused(part, owner, error.message) from error


def _refused(part: str, owner: str, why: str) -> PermanentError:
    kind, _, name = owner.partition(" ")
    return PermanentError(
        f"The {part} template of the {owner} cannot be filled with this message: {why}. Mend it "
        f"with PATCH /v1/{kind}s/{name}, then resend the message."
    )


def values_of(message: Message, format: Format = "text") -> dict[str, Any]:  # noqa: A002 - the field's name
    """Return what a template may name: the message's fields, its text in the template's format."""
    values = message.model_dump(
        mode="json",
        include={"id", "topic", "channel", "title", "priority", "tags", "data", "to", "reference"},
    )
    return values | {
        "metadata": message.metadata,
        "created_at": message.created_at.isoformat(),
        "description": Safe(_text_of(message, format)),
    }


def _text_of(message: Message, format: Format) -> str:  # noqa: A002 - the field's name
    if format == message.format:
        return message.description
    if format == "text":
        return as_text(message, title=False)
    if format == "markdown":
        return as_markdown(message, title=False)
    if message.format == "text":
        return escape_html(message.description).replace("\n", "<br>\n")
    parts = _CODE.split(as_html(message, title=False))
    # Every other part is code, whose lines end as they are.
    return "".join(
        part if place % 2 else part.replace("\n", "<br>\n") for place, part in enumerate(parts)
    )
