"""How fast a replay goes: a rate becomes small steps, each with a pause after it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from almenara.errors import FieldError, InvalidInputError

#: One step makes so many deliveries at the most: it is one transaction, and accepting waits for it.
LARGEST_STEP = 200

_SPANS = {"s": 1, "m": 60, "h": 3600}
_RATE = re.compile(r"([1-9]\d{0,5})\s*/\s*([smh])")


@dataclass(frozen=True, slots=True)
class Pace:
    """Steps of so many deliveries, with a pause after each."""

    step_count: int
    pause: timedelta


def read_rate(text: str | None) -> Pace:
    """Read a rate such as ``10/s``, ``30/m`` or ``500/h``; ``None``: as fast as it can be.

    The steps are small and spread over the span, about one a second, and make no more than the rate
    in any span; where it cannot be divided evenly they make a little less.

    Raises:
        InvalidInputError: it is not a rate.
    """
    if text is None:
        return Pace(LARGEST_STEP, timedelta())
    match = _RATE.fullmatch(text.strip().lower())
    if match is None:
        message = "Write a rate such as 10/s, 30/m or 500/h."
        raise InvalidInputError(
            message, errors=[FieldError(field="rate", code="rate_invalid", message=message)]
        )
    count, seconds = int(match[1]), _SPANS[match[2]]
    fewest_steps = max(-(-count // LARGEST_STEP), min(count, seconds))
    step_count = count // fewest_steps
    return Pace(step_count, timedelta(seconds=seconds) / (count // step_count))
