"""What this process has counted since its start, in plain numbers that cost next to nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from almenara.figures.described import (
    ACCEPTED,
    ATTEMPTS,
    BATCHES,
    BOUNDS,
    COMMITS,
    DURATIONS,
    LAGS,
    RESCUED,
    Key,
)
from almenara.figures.tallying import TAKEN, tally


class Histogram:
    """How often what was measured fell into each bucket, and its sum."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, name: str) -> None:
        self._bounds = BOUNDS[name]
        #: One for each bucket, and one for what is beyond the last.
        self.counts = [0] * (len(self._bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Add a value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


#: By name and labels. One of each for the process, as the loggers are.
counters: Final[dict[Key, int]] = {(ACCEPTED,): 0, (RESCUED,): 0}
histograms: Final[dict[Key, Histogram]] = {
    (name,): Histogram(name) for name in (BATCHES, COMMITS, LAGS)
}
#: What is read when somebody asks.
gauges: Final[dict[str, Callable[[], float]]] = {}

_batches, _commits, _lags = (histograms[name,] for name in (BATCHES, COMMITS, LAGS))


def count_batch(size: int, accepted: Sequence[str | None], seconds: float) -> None:
    """Count a transaction of the ledger that was committed.

    Args:
        accepted: the topic of each message that it stored for a sender.
    """
    counters[ACCEPTED,] += len(accepted)
    for topic in accepted:
        tally(topic, "", TAKEN, None)
    _batches.observe(size)
    _commits.observe(seconds)


def count_attempt(
    channel: str,
    outcome: str,
    seconds: float,
    *,
    topic: str | None = None,
    reason: str | None = None,
) -> None:
    """Count an attempt that was recorded.

    Args:
        topic: its message's.
        reason: why its delivery failed or is held, if it does.
    """
    tally(topic, channel, outcome, reason)
    key = (ATTEMPTS, channel, outcome)
    counters[key] = counters.get(key, 0) + 1
    of_channel = histograms.get((DURATIONS, channel))
    if of_channel is None:
        of_channel = histograms[DURATIONS, channel] = Histogram(DURATIONS)
    of_channel.observe(seconds if seconds > 0 else 0.0)


def count_rescued(
    channel: str, outcome: str, *, topic: str | None = None, reason: str | None = None
) -> None:
    """Count a delivery that was taken back; how long its attempt took is not known."""
    tally(topic, channel, outcome, reason)
    counters[RESCUED,] += 1
    key = (ATTEMPTS, channel, outcome)
    counters[key] = counters.get(key, 0) + 1


def count_lag(seconds: float) -> None:
    """Count how late the event loop was."""
    _lags.observe(max(0.0, seconds))


def keep_channels(channels: Iterable[str], outcomes: Iterable[str]) -> None:
    """Begin with 0 for these channels, and forget those that are no more."""
    names = set(channels)
    for found in (counters, histograms):
        for key in [one for one in found if len(one) > 1 and one[1] not in names]:
            del found[key]
    outcomes = list(outcomes)
    for name in names:
        if (DURATIONS, name) not in histograms:
            histograms[DURATIONS, name] = Histogram(DURATIONS)
        for outcome in outcomes:
            counters.setdefault((ATTEMPTS, name, outcome), 0)
