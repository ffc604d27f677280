"""Lists that come page by page, and values as the API takes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from almenara.client.failures import StrangeAnswerError
from almenara.client.shapes import read
from almenara.client.steps import Steps
from almenara.client.wire import Request

T = TypeVar("T")

#: The longest page that the server gives.
_MOST_ROWS = 250


class Pages(Generic[T]):
    """A list, newest first, and how far it was read.

    Args:
        limit: how many at the most; ``None``: all.
    """

    def __init__(
        self, kind: type[T], path: str, filters: Mapping[str, Any], limit: int | None
    ) -> None:
        self._kind = kind
        self._path = path
        self._filters = written(filters)
        self._left = limit
        self._cursor: str | None = None
        self.at_end = limit is not None and limit <= 0

    def step(self) -> Steps[list[T]]:
        """Read the next page."""
        size = _MOST_ROWS if self._left is None else min(self._left, _MOST_ROWS)
        query = self._filters | {"limit": size, "cursor": self._cursor}
        answer = yield Request("GET", self._path, query)
        try:
            rows = [read(self._kind, one) for one in answer.body["data"]]
            self._cursor = answer.body["next_cursor"]
        except (TypeError, KeyError) as error:
            raise StrangeAnswerError("The server's answer is no page of a list.") from error
        if self._left is not None:
            self._left -= len(rows)
        self.at_end = self._cursor is None or self._left == 0
        return rows


def written(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that were given, times as text."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in fields.items()
        if value is not None
    }
