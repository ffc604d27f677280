"""When a delivery is tried again: durations, schedules, jitter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from almenara.errors import InvalidInputError

#: Waits between attempts, unless the channel says otherwise: eight attempts over about 35 hours.
DEFAULT_SCHEDULE: tuple[str, ...] = ("10s", "1m", "5m", "30m", "2h", "8h", "24h")

#: No single wait is longer, whatever a schedule or a service's Retry-After says.
LONGEST_WAIT = timedelta(days=7)

#: Waits are spread by this share to both sides, so that retries do not come in waves.
JITTER = 0.2

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([0-9]{1,6}) *([smhd])")
#: The same for a JSON Schema, whose patterns know no letters of either case.
DURATION_PATTERN = "^ *[0-9]{1,6} *[smhdSMHD] *$"


def parse_duration(text: str, *, longest: timedelta = LONGEST_WAIT) -> timedelta:
    """Read a duration such as ``10s``, ``5m``, ``2h`` or ``1d``.

    Raises:
        InvalidInputError: it is not one, or longer than the longest.
    """
    match = _DURATION.fullmatch(text.strip(" ").lower())
    if match is None:
        raise InvalidInputError(f"{text[:40]!r} is not a duration such as 10s, 5m, 2h or 1d.")
    duration = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if duration > longest:
        raise InvalidInputError(f"{text[:40]!r} is longer than {longest.days}d, the longest wait.")
    return duration


def write_duration(duration: timedelta) -> str:
    """Write a duration as :func:`parse_duration` reads it, in whole hours, minutes or seconds."""
    seconds = round(duration.total_seconds())
    fits = (one for one in "hm" if seconds >= _UNITS[one] and seconds % _UNITS[one] == 0)
    unit = next(fits, "s")
    return f"{seconds // _UNITS[unit]}{unit}"


def next_wait(
    schedule: Sequence[timedelta],
    step: int,
    *,
    spread: float,
    retry_after: timedelta | None = None,
) -> timedelta | None:
    """Return how long to wait after the attempt that used up ``step`` steps; ``None``: give up.

    Args:
        spread: a random number from -1 to 1, which the jitter is made of.
        retry_after: the service's own wish; the wait is never shorter.
    """
    if step >= len(schedule):
        return None
    wait = schedule[step] * (1 + JITTER * spread)
    if retry_after is not None:
        wait = max(wait, retry_after)
    return min(wait, LONGEST_WAIT)
