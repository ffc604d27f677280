"""Figures of the oracle's files: how long messages took, and percentiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def latencies(
    ledger: Sequence[Mapping[str, Any]], sink: Sequence[Mapping[str, Any]]
) -> list[tuple[float, float]]:
    """Return for each message of the ledger when it was handed in, and when it arrived after that.

    Both in seconds, the first on the monotonic clock.
    """
    arrived: dict[str, float] = {}
    for one in sink:
        arrived.setdefault(one["key"], one["at"])
    return [
        (one["sent_at"], arrived[one["key"]] - one["sent_at"])
        for one in ledger
        if one["key"] in arrived
    ]


def percentile(values: Sequence[float], percent: int) -> float | None:
    """Return a percentile of times in seconds, in milliseconds; ``None``: there are none."""
    if not values:
        return None
    index = min(len(values) - 1, len(values) * percent // 100)
    return round(sorted(values)[index] * 1000, 1)
