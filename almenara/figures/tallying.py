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

#: As in a series: a plain tuple is made in a third of the time.
_Key = tuple[str, str, str, str]

#: One of each for the process, as the counters are.
_counts: dict[_Key, int] = {}
_known: set[_Key] = set()


def tally(topic: str | None, channel: str, outcome: str, reason: str | None) -> None:
    """Add one to a series."""
    key = (topic or "", channel, outcome, reason or "")
    before = _counts.get(key)
    if before is None:
        key = _within_bounds(key)
        before = _counts.get(key, 0)
    _counts[key] = before + 1


def _within_bounds(key: _Key) -> _Key:
    """Return the series itself while there is room for it, else the one for all others."""
    if key not in _known:
        if len(_known) >= MOST_SERIES:
            _, channel, outcome, _ = key
            return OTHER, OTHER if channel else "", outcome, ""
        _known.add(key)
    return key


def take_tallies() -> dict[Series, int]:
    """Return what was counted since this was called last; it is the caller's to store."""
    taken = {Series(*key): count for key, count in _counts.items()}
    _counts.clear()
    return taken


def put_back_tallies(taken: dict[Series, int]) -> None:
    """Keep what could not be stored for the next time."""
    for series, count in taken.items():
        _counts[series] = _counts.get(series, 0) + count


def forget_series() -> None:
    """Make room for series that are new."""
    _known.clear()
