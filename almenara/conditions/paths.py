"""Paths into ``data``: keys with dots between them."""

from __future__ import annotations

import re
from functools import lru_cache

#: A key's characters: any but dot and backslash, or one of these two behind a backslash.
_KEY = r"(?:[^.\\]|\\[.\\])+"
_PATH = re.compile(rf"{_KEY}(?:\.{_KEY})*", re.DOTALL)
_PART = re.compile(_KEY, re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@lru_cache(maxsize=1024)
def read_path(text: str) -> tuple[str, ...] | None:
    """Return the keys of a path, from the outside in; ``None``: it is none."""
    if not _PATH.fullmatch(text):
        return None
    return tuple(_ESCAPED.sub(r"\1", part) for part in _PART.findall(text))
