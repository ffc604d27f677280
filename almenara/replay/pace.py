"""How fast a replay goes: a rate becomes small steps, each with a pause after it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from almenara.errors import FieldError, InvalidInputError
from almenara.rates import parse_rate

#: One step makes so many deliveries at the most: it is one transaction, and accepting waits for it.
LARGEST_STEP = 200


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
    try:
        rate = parse_rate(text)
    except InvalidInputError as error:
        wrong = FieldError(field="rate", code="rate_invalid", message=error.message)
        raise InvalidInputError(error.message, errors=[wrong]) from error
    count, seconds = rate.count, rate.span // timedelta(seconds=1)
    fewest_steps = max(-(-count // LARGEST_STEP), min(count, seconds))
    step_count = count // fewest_steps
    return Pace(step_count, rate.span / (count // step_count))
