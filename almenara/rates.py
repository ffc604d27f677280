"""How many attempts may begin in a span of time: rates, and how their tokens are counted; pure.

The counting is GCRA: a channel's whole past is one moment, the *arrival*, at which the next attempt
would be exactly on time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from almenara.errors import InvalidInputError

#: The greatest count of a rate, and the greatest burst.
LARGEST_COUNT = 10_000

#: An arrival that is further ahead than it can come to be, by more than the clocks of two machines
#: differ, was written by a clock that has jumped since.
_CLOCK_MARGIN = timedelta(seconds=5)

_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}
_RATE = re.compile(r"([0-9]{1,9}) ?/ ?([smh])")
#: The same for a JSON Schema, whose patterns know no letters of either case.
RATE_PATTERN = "^ *[0-9]{1,9} ?/ ?[smhSMH] *$"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a second, a minute or an hour."""

    count: int
    #: ``s``, ``m`` or ``h``.
    unit: str

    @property
    def span(self) -> timedelta:
        """The time in which so many may begin."""
        return _UNITS[self.unit]

    @property
    def interval(self) -> timedelta:
        """The time from one to the next, rounded up, so that the rate is never exceeded."""
        span = self.span // timedelta(microseconds=1)
        return timedelta(microseconds=-(-span // self.count))

    def __str__(self) -> str:
        return f"{self.count}/{self.unit}"


@dataclass(frozen=True, slots=True)
class Admission:
    """How many may begin now, and what that makes of the arrival."""

    count: int
    #: What is to be stored when so many begin; ``None``: nothing was counted yet.
    arrival_at: datetime | None
    #: When the next one may begin, after these.
    next_at: datetime


def parse_rate(text: str) -> Rate:
    """Read a rate such as ``10/s``, ``30/m`` or ``500/h``.

    Raises:
        InvalidInputError: it is not one; says what is allowed.
    """
    match = _RATE.fullmatch(text.strip(" ").lower())
    count = int(match[1]) if match else 0
    if match is None or not 1 <= count <= LARGEST_COUNT:
        raise InvalidInputError(
            f"{text[:40]!r} is not a rate such as 10/s, 30/m or 500/h: a number from 1 to "
            f"{LARGEST_COUNT}, then /s, /m or /h."
        )
    return Rate(count, match[2])


def admit(
    arrival_at: datetime | None, *, now: datetime, rate: Rate, burst: int | None, wanted: int
) -> Admission:
    """Say how many of those that are wanted may begin now.

    In any span of time at most ``rate * span + burst`` begin.

    Args:
        arrival_at: as the last admission left it; ``None``: nothing began yet.
        burst: so many may begin at once after a rest; absent: one.
    """
    interval = rate.interval
    tolerance = interval * ((burst or 1) - 1)
    # What one admission leaves behind is never further ahead than this.
    furthest = now + tolerance + interval
    if arrival_at is not None and arrival_at > furthest + _CLOCK_MARGIN:
        arrival_at = furthest
    begin = now if arrival_at is None else max(arrival_at, now)
    free = (now + tolerance - begin) // interval + 1
    count = max(0, min(wanted, free))
    after = begin + interval * count if count else arrival_at
    return Admission(count, after, max(begin, after or begin) - tolerance)
