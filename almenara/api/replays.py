"""Replays: send many final deliveries again, look how far it is, stop it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field

from almenara.api.authorization import MANAGES_ALL, ManagerOfAll
from almenara.api.deliveries import DeliverySummary, summary_of
from almenara.api.dependencies import Cursor, Limit, PartsNeeded, ReplayId
from almenara.api.fields import StrictModel, written_out
from almenara.api.parts import Parts
from almenara.api.problems import BODY, problems
from almenara.api.strict import StrictRoute
from almenara.deliveries import Reason, Status
from almenara.models import Replay
from almenara.rates import RATE_PATTERN
from almenara.replay import FinalStatus, ReplayStatus, Selection

router = APIRouter(
    prefix="/v1", tags=["replays"], route_class=StrictRoute, responses=problems(422, 503)
)

_Name = Annotated[str, Field(min_length=1, max_length=64)]


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("Write a time that has a date in UTC too.") from error


_Moment = Annotated[
    AwareDatetime, BeforeValidator(written_out), Field(strict=False), AfterValidator(_in_utc)
]


class ReplayIn(StrictModel):
    """Which deliveries to send again: one of channel, topic, reason and since must be given."""

    channel: _Name | None = Field(default=None, description="Only through this channel.")
    topic: _Name | None = Field(default=None, description="Only messages of this topic.")
    status: FinalStatus | None = Field(
        default=None, description="Only this status; left out, what failed or was cancelled."
    )
    reason: Annotated[Reason, Field(strict=False)] | None = Field(
        default=None,
        description="Only this reason. Left out, what was `collapsed`, `superseded` or "
        "`not_needed` stays as it is: something else was sent in its place.",
    )
    since: _Moment | None = Field(
        default=None, description="Only deliveries that were made at this time or later."
    )
    until: _Moment | None = Field(
        default=None, description="Only deliveries that were made before this time."
    )
    rate: (
        Annotated[str, Field(max_length=16, json_schema_extra={"pattern": RATE_PATTERN})] | None
    ) = Field(
        default=None,
        description="How many at the most in a second, minute or hour: `10/s`, `30/m`, `500/h`. "
        "Left out, as fast as it can be.",
    )
    dry_run: bool = Field(
        default=False, description="Only count them and show some; nothing is stored."
    )

    def selection(self) -> Selection:
        """Return the filters as they are worked with."""
        return Selection(**self.model_dump(exclude={"rate", "dry_run"}))


class ReplayFilters(BaseModel):
    """What a replay looks for; each that is null is not looked at."""

    channel: str | None = None
    topic: str | None = None
    status: FinalStatus | None = None
    reason: Reason | None = None
    since: datetime | None = None
    until: datetime | None = None


class ReplaySummary(BaseModel):
    """A replay, and how far it has come."""

    id: UUID
    status: ReplayStatus
    filters: ReplayFilters
    rate: str | None
    #: How many were found when it began.
    total_count: int
    #: How many it has sent again.
    resent_count: int
    #: How many it left out: sent again meanwhile, expired, redacted, their channel gone.
    skipped_count: int
    requested_by: str | None
    created_at: datetime
    finished_at: datetime | None


class DeliveryCounts(BaseModel):
    """How many deliveries stand at each status."""

    pending: int = 0
    sending: int = 0
    sent: int = 0
    failed: int = 0
    held: int = 0
    cancelled: int = 0


class ReplayOut(ReplaySummary):
    """A replay with where the deliveries that it made stand by now."""

    deliveries: DeliveryCounts


class ReplayPage(BaseModel):
    """A page of replays, newest first."""

    data: list[ReplaySummary]
    next_cursor: str | None


class DryRunOut(BaseModel):
    """What a replay would send again."""

    #: How many; 10,000 at the most.
    count: int
    #: Whether there are more.
    count_is_capped: bool
    #: Up to ten of them, the oldest first.
    sample: list[DeliverySummary]


@router.post(
    "/replays",
    status_code=202,
    response_model=ReplayOut,
    responses={**problems(*BODY), 200: {"model": DryRunOut, "description": "A dry run"}},
)
async def create_replay(
    body: ReplayIn, parts: PartsNeeded, manager: ManagerOfAll, response: Response
) -> ReplayOut | Response:
    """Send what failed or was cancelled again, as new deliveries; with `dry_run`, only count it."""
    if body.dry_run:
        found = await parts.replays.dry_run(body.selection(), rate=body.rate)
        counted = DryRunOut(
            count=found.count,
            count_is_capped=found.count_is_capped,
            sample=[summary_of(one) for one in found.sample],
        )
        return Response(counted.model_dump_json(), media_type="application/json")
    replay = await parts.replays.create(
        body.selection(), rate=body.rate, requested_by=manager.subject
    )
    response.headers["Location"] = f"/v1/replays/{replay.id}"
    return await _shown(parts, replay.id)


@router.get("/replays", dependencies=[MANAGES_ALL])
async def list_replays(
    parts: PartsNeeded, *, cursor: Cursor = None, limit: Limit = 50
) -> ReplayPage:
    """List replays, newest first."""
    page = await parts.replays.list(cursor=cursor, limit=limit)
    return ReplayPage(
        data=[ReplaySummary(**_fields(one)) for one in page.rows], next_cursor=page.next_cursor
    )


@router.get("/replays/{id}", responses=problems(404), dependencies=[MANAGES_ALL])
async def show_replay(replay_id: ReplayId, parts: PartsNeeded) -> ReplayOut:
    """Show one replay: how far it is, and what became of the deliveries that it made."""
    return await _shown(parts, replay_id)


@router.delete("/replays/{id}", responses=problems(404, 409))
async def cancel_replay(
    replay_id: ReplayId, parts: PartsNeeded, manager: ManagerOfAll
) -> ReplayOut:
    """Stop a replay: it makes no more deliveries; those that it made stay."""
    await parts.replays.cancel(replay_id, by=manager.subject)
    return await _shown(parts, replay_id)


async def _shown(parts: Parts, replay_id: UUID) -> ReplayOut:
    progress = await parts.replays.get(replay_id)
    return ReplayOut(**_fields(progress.replay), deliveries=_counts(progress.deliveries))


def _counts(deliveries: Mapping[Status, int]) -> DeliveryCounts:
    return DeliveryCounts(**{status.value: count for status, count in deliveries.items()})


def _fields(replay: Replay) -> dict[str, Any]:
    return {name: getattr(replay, name) for name in ReplaySummary.model_fields}
