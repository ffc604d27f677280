"""How often somebody may ask, counted in this process: GCRA, as for channels, but in memory."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from almenara.rates import Rate

#: So many callers are remembered; who was not heard of for longest is forgotten first.
MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one request."""

    #: How many more may come just now.
    left: int
    #: When as many as ever may come again, in whole seconds.
    reset_seconds: int
    #: How long to wait; 0: this one may go on.
    wait_seconds: int


class Meter:
    """Counts the requests of each caller.

    Args:
        burst: so many may come at once after a rest; absent: what the rate names.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        rate: Rate,
        *,
        burst: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval = rate.span.total_seconds() / rate.count
        self._burst = burst or rate.count
        self._clock = clock
        #: By caller, when the next request would be exactly on time.
        self._arrivals: OrderedDict[str, float] = OrderedDict()
        #: As the header `RateLimit-Policy` says it.
        self.policy = f'"sender";q={self._burst};w={math.ceil(self._burst * self._interval)}'

    def take(self, caller: str) -> Taken:
        """Count one request, if it may come now."""
        now = self._clock()
        arrival = max(self._arrivals.pop(caller, now), now)
        tolerance = self._interval * (self._burst - 1)
        # A hair's breadth: sums of fractions do not come out even.
        over = arrival - now - tolerance - 1e-9
        if over > 0:
            self._keep(caller, arrival)
            return Taken(0, math.ceil(arrival - now), math.ceil(over))
        arrival += self._interval
        self._keep(caller, arrival)
        left = math.floor((now + tolerance - arrival) / self._interval + 1 + 1e-9)
        return Taken(max(left, 0), math.ceil(arrival - now), 0)

    def _keep(self, caller: str, arrival: float) -> None:
        self._arrivals[caller] = arrival
        if len(self._arrivals) > MOST_REMEMBERED:
            self._arrivals.popitem(last=False)
