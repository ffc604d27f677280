"""Any JSON, for hypothesis to draw from.

What extends a strategy is a function with a name. Hypothesis writes a strategy down wherever a
value grew beyond its leaves, and for a lambda it parses the file that holds it, deep in the draw:
a run has failed there.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def json_values(
    leaves: st.SearchStrategy[Any],
    keys: st.SearchStrategy[str],
    *,
    max_leaves: int,
    max_size: int | None = 4,
) -> st.SearchStrategy[Any]:
    """Values of at most ``max_leaves`` leaves, in lists and objects of at most ``max_size``."""

    def nest(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        objects = st.dictionaries(keys, inner, max_size=max_size)
        return st.lists(inner, max_size=max_size) | objects

    return st.recursive(leaves, nest, max_leaves=max_leaves)
