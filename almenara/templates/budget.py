"""What one rendering may use up: steps, text and processor time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jinja2.runtime import Undefined

from almenara.errors import TemplateError

#: The longest template, in characters.
LONGEST_SOURCE = 10_000
#: The longest text that a template may make, in characters; also of a value on the way to it.
LONGEST_TEXT = 200_000
#: So often all loops of a template may go round, together.
MOST_ROUNDS = 10_000
#: So long one rendering may work, in seconds of its thread's processor time: waiting for a busy
#: machine uses up none of it.
LONGEST_WORK = 0.5


class Budget:
    """Counts what one rendering uses, and ends it when that is too much."""

    def __init__(self) -> None:
        self._rounds = 0
        self._written = 0
        self._until = time.thread_time() + LONGEST_WORK

    def check_time(self) -> None:
        """Raise when the rendering has worked too long.

        Raises:
            TemplateError: it has.
        """
        if time.thread_time() > self._until:
            raise TemplateError(f"it works for longer than {LONGEST_WORK:g} s")

    def count(self, items: Iterable[Any]) -> Iterator[Any]:
        """Go through what a loop goes through, no further than is allowed.

        Raises:
            TemplateError: there were too many rounds.
        """
        for item in items:
            self._rounds += 1
            if self._rounds > MOST_ROUNDS:
                raise TemplateError(f"its loops go round more than {MOST_ROUNDS:,} times")
            self.check_time()
            yield item

    def write(self, piece: str) -> str:
        """Count a piece of the text.

        Raises:
            TemplateError: the text is too long.
        """
        self._written += len(piece)
        if self._written > LONGEST_TEXT:
            raise too_long()
        self.check_time()
        return piece


def too_long() -> TemplateError:
    """Return the error for a text that is longer than is allowed."""
    return TemplateError(f"it makes a text of more than {LONGEST_TEXT:,} characters")


def check_size(value: Any) -> Any:
    """Return a value that is no larger than a text may be.

    Raises:
        TemplateError: it is larger.
    """
    left = LONGEST_TEXT
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        left -= len(one) if isinstance(one, str) else 8
        if left < 0:
            raise too_long()
        if isinstance(one, Mapping):
            waiting.extend(one.keys())
            waiting.extend(one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)
    return value


def given(value: Any) -> Any:
    """Return a value that is there.

    Raises:
        TemplateError: it is missing; says its name.
    """
    if isinstance(value, Undefined):
        raise missing(value)
    return value


def missing(value: Undefined) -> TemplateError:
    """Return the error for a value that is not there."""
    name = str(value._undefined_name)[:64]  # noqa: SLF001 - what Jinja2's own subclasses use
    return TemplateError(f"the message has no `{name}`, and the template gives no default for it")
