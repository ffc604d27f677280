"""What the rest of Almenara knows of traces: spans of two kinds, and where they begin."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Literal, Protocol

#: What is told of a span: ids, names and numbers of ours. Never a text, a recipient, a secret, or
#: the path of a URL.
Attributes = Mapping[str, str | int]

Kind = Literal["accept", "attempt"]


class Span(Protocol):
    """One piece of work under way."""

    @property
    def traceparent(self) -> str:
        """The context for what this work causes."""

    @property
    def recorded(self) -> bool:
        """Whether it will be exported; the sampler decides."""

    def tell(self, attributes: Attributes, *, failed: bool = False) -> None:
        """Add what is known of it by now.

        Args:
            failed: what it was to do was not done.
        """


class Spans(Protocol):
    """Where spans are begun; there is none of it while tracing is off."""

    def begin(
        self, kind: Kind, parent: str | None, attributes: Attributes
    ) -> AbstractContextManager[Span]:
        """Begin a span, which ends with the block.

        Args:
            kind: ``accept`` is a request that brings messages, ``attempt`` one call of a plugin.
            parent: the context that it belongs to, from however long ago; ``None``: it is the first
                of a trace.
        """
