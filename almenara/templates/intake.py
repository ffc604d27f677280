"""A foreign webhook becomes a message: no body is lost because a template does not fit it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from almenara.errors import TemplateError
from almenara.formats import cut
from almenara.plugin import Format
from almenara.templates.rendering import Template
from almenara.templates.senders import SENDERS, Reading
from almenara.templates.wording import LONGEST_TITLE

#: A body is shown as it came up to so many characters.
_LONGEST_SHOWN: Final = 10_000
_LONGEST_TAG, _MOST_TAGS = 64, 32
_LONGEST_WORD: Final = 255
_SPACES: Final = re.compile(r"\s+")
_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
#: Headers that prove who sends: no template sees them.
_HIDDEN: Final = re.compile(r"authorization|cookie|signature|secret|token|api-?key")


@dataclass(frozen=True, slots=True)
class Translated:
    """What a webhook means: the body of a message, and the key that it may be stored under once."""

    body: dict[str, Any]
    key: str | None


def check_reading(reading: Reading) -> None:
    """Raise when one of the templates cannot be read.

    Raises:
        TemplateError: names the field and the line.
    """
    for name, source in asdict(reading).items():
        for one in source if isinstance(source, tuple) else (source,):
            try:
                Template(one or "", reading.format if name == "description" else "text")
            except TemplateError as error:
                raise TemplateError(
                    f"The template of {name} cannot be read: {error.message}."
                ) from error


def reading_of(stored: Mapping[str, Any]) -> Reading:
    """Return what a topic's row holds: the name of a sender, or templates."""
    if "sender" in stored:
        return SENDERS[stored["sender"]]
    known = {one.name for one in fields(Reading)}
    values = {name: value for name, value in stored.items() if name in known}
    return Reading(**values | {"tags": tuple(stored.get("tags", ()))})


def translate(reading: Reading, body: Any, headers: Mapping[str, str]) -> Translated:
    """Make a message of a webhook's body; it always becomes one.

    What a template cannot make is left out, or is the body as it came, and the message's
    ``metadata.accept_errors`` says so. It may work for seconds: call it in a thread.

    Args:
        body: JSON, which can be stored.
        headers: with names in lower case.
    """
    return _Translation(reading, body, headers).result()


class _Translation:
    def __init__(self, reading: Reading, body: Any, headers: Mapping[str, str]) -> None:
        self._reading = reading
        self._body = body
        shown = {name: value for name, value in headers.items() if not _HIDDEN.search(name)}
        self._values = {"body": body, "headers": shown}
        self._errors: list[str] = []

    def result(self) -> Translated:
        reading = self._reading
        text = self._fill("description", reading.description, reading.format)
        body: dict[str, Any] = {
            "description": text or self._as_it_came(),
            "format": reading.format if text else "text",
            "title": cut(self._word("title", reading.title), LONGEST_TITLE) or None,
            "priority": self._priority(),
            "tags": self._tags(),
            "data": self._body if isinstance(self._body, dict) else {"body": self._body},
            "reference": cut(self._word("reference", reading.reference), _LONGEST_WORD) or None,
        }
        key = self._key()
        if self._errors:
            body["metadata"] = {"accept_errors": self._errors}
        return Translated(body, key)

    def _fill(self, name: str, source: str | None, format: Format = "text") -> str:  # noqa: A002 - the field's name
        if source is None:
            return ""
        try:
            return Template(source, format).render(self._values).strip()
        except TemplateError as error:
            self._errors.append(f"{name}: {error.message}")
            return ""

    def _word(self, name: str, source: str | None) -> str:
        return _SPACES.sub(" ", self._fill(name, source))

    def _as_it_came(self) -> str:
        return cut(json.dumps(self._body, ensure_ascii=False, indent=2), _LONGEST_SHOWN)

    def _priority(self) -> int:
        text = self._word("priority", self._reading.priority)
        if text in {"1", "2", "3", "4", "5"}:
            return int(text)
        if text:
            self._errors.append("priority: it makes no number from 1 to 5")
        return 3

    def _tags(self) -> list[str]:
        made = (cut(self._word("tags", one), _LONGEST_TAG) for one in self._reading.tags)
        return list(dict.fromkeys(one for one in made if one))[:_MOST_TAGS]

    def _key(self) -> str | None:
        text = self._word("key", self._reading.key)
        if not text or _KEY.fullmatch(text):
            return text or None
        return hashlib.sha256(text.encode()).hexdigest()
