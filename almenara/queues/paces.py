"""How long the attempts of each channel take, and so which channels give their slots back soon."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Attempts that take no longer than this are quick, in seconds.
_QUICK_SECONDS = 1.0
#: How much the newest attempt weighs in a channel's mean.
_WEIGHT = 0.2


class Paces:
    """What one process has seen of its channels.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: By channel: how long its attempts take, the newest weighing most, in seconds.
        self._means: dict[str, float] = {}
        #: By channel: when each attempt that is under way began.
        self._begun: dict[str, dict[object, float]] = {}

    def begin(self, channel: str) -> object:
        """Count an attempt from now on; what is returned ends it."""
        key = object()
        self._begun.setdefault(channel, {})[key] = self._clock()
        return key

    def end(self, channel: str, key: object) -> None:
        """Count an attempt no more, and remember how long it took."""
        begun = self._begun[channel]
        took = self._clock() - begun.pop(key)
        if not begun:
            del self._begun[channel]
        mean = self._means.get(channel, took)
        self._means[channel] = mean + (took - mean) * _WEIGHT

    def quick(self, channel: str) -> bool:
        """Tell whether a channel's attempts end soon, those under way included.

        False for a channel of which no attempt has ended yet.
        """
        if self._means.get(channel, _QUICK_SECONDS) >= _QUICK_SECONDS:
            return False
        begun = self._begun.get(channel)
        # The first that began is the first in the dictionary.
        return begun is None or self._clock() - next(iter(begun.values())) < _QUICK_SECONDS
