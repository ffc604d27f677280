"""Charts of the last hour or day, for consoles without Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from almenara.api.authorization import Reader
from almenara.api.dependencies import PartsNeeded
from almenara.api.problems import problems
from almenara.api.strict import StrictRoute
from almenara.backlog import Backlog
from almenara.figures import OLDEST_DUE, PENDING, TAKEN
from almenara.tallies import Chart, Period

router = APIRouter(
    prefix="/v1", tags=["messages"], route_class=StrictRoute, responses=problems(422, 503)
)


class AcceptedCounts(BaseModel):
    """How many messages a topic took."""

    #: `null`: a channel was addressed directly. `(other)`: all that are too many to tell apart.
    topic: str | None
    #: One for each step.
    counts: list[int]


class AttemptCounts(BaseModel):
    """How many attempts came to the same end."""

    topic: str | None
    channel: str
    outcome: str
    #: Why the delivery failed or is held, such as `exhausted`; `null`: it does not.
    reason: str | None
    #: One for each step.
    counts: list[int]


class PendingCount(BaseModel):
    """What waits for one channel now."""

    channel: str
    #: Due or not, counted up to 100,000.
    count: int
    #: How long the oldest that is due has been so; 0: none is.
    oldest_due_seconds: float


class Stats(BaseModel):
    """What was counted in a period, in steps of equal length."""

    period: Period
    step_seconds: int
    start: datetime
    #: The end of the present step.
    end: datetime
    accepted: list[AcceptedCounts]
    attempts: list[AttemptCounts]
    #: Empty for a token that is narrowed to topics.
    pending: list[PendingCount]


@router.get("/stats")
async def show_stats(
    parts: PartsNeeded,
    reader: Reader,
    *,
    period: Annotated[
        Period, Query(description="`hour`: steps of a minute; `day`: of 15 minutes.")
    ] = "hour",
) -> Stats:
    """Say what was accepted and tried in the last hour or day, and what waits now.

    Every process adds what it counted within ten seconds; one that is killed loses what it has not
    added. A token that is narrowed to topics is told of those alone, and not of what waits, as
    topics share channels.
    """
    chart = await parts.tallies.read(period)
    return Stats(
        period=period,
        step_seconds=int(chart.step.total_seconds()),
        start=chart.start,
        end=chart.end,
        accepted=_accepted(chart, reader.sees),
        attempts=_attempts(chart, reader.sees),
        pending=await _pending(parts.backlog) if reader.topics is None else [],
    )


def _accepted(chart: Chart, sees: Callable[[str | None], bool]) -> list[AcceptedCounts]:
    return [
        AcceptedCounts(topic=series.topic or None, counts=counts)
        for series, counts in sorted(chart.counts.items())
        if series.outcome == TAKEN and sees(series.topic or None)
    ]


def _attempts(chart: Chart, sees: Callable[[str | None], bool]) -> list[AttemptCounts]:
    return [
        AttemptCounts(
            topic=series.topic or None,
            channel=series.channel,
            outcome=series.outcome,
            reason=series.reason or None,
            counts=counts,
        )
        for series, counts in sorted(chart.counts.items())
        if series.outcome != TAKEN and sees(series.topic or None)
    ]


async def _pending(backlog: Backlog) -> list[PendingCount]:
    found = await backlog.read()
    return [
        PendingCount(channel=key[1], count=int(count), oldest_due_seconds=found[OLDEST_DUE, key[1]])
        for key, count in sorted(found.items())
        if key[0] == PENDING
    ]
