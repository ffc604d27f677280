"""What this process has counted for the charts, and not stored yet."""

from __future__ import annotations

from typing import Final, NamedTuple


class Series(NamedTuple):
    """What is counted together; a part that there is not is empty."""

    topic: str
    channel: str
    #: ``ACCEPTED``, or what an attempt came to.
    outcome: str
    reason: str


#: The outcome under which accepted messages are counted.
TAKEN: Final = "accepted"
#: So many series a process has at the most; what is beyond is counted under a name that no topic
#: and no channel can have.
MOST_SERIES: Final = 2_000
OTHER: Final = "(other)"

#: One of each for the process, as the counters are.
_counts: dict[Series, int] = {}
_known: set[Series] = set()


def tally(topic: str | None, channel: str, outcome: str, reason: str | None) -> None:
    """Add one to a series."""
    series = Series(topic or "", channel, outcome, reason or "")
    before = _counts.get(series)
    if before is None:
        series = _within_bounds(series)
        before = _counts.get(series, 0)
    _counts[series] = before + 1


def _within_bounds(series: Series) -> Series:
    """Return the series itself while there is room for it, else the one for all others."""
    if series not in _known:
        if len(_known) >= MOST_SERIES:
            return Series(OTHER, OTHER if series.channel else "", series.outcome, "")
        _known.add(series)
    return series


def take_tallies() -> dict[Series, int]:
    """Return what was counted since this was called last; it is the caller's to store."""
    taken = dict(_counts)
    _counts.clear()
    return taken


def put_back_tallies(taken: dict[Series, int]) -> None:
    """Keep what could not be stored for the next time."""
    for series, count in taken.items():
        _counts[series] = _counts.get(series, 0) + count


def forget_series() -> None:
    """Make room for series that are new."""
    _known.clear()
