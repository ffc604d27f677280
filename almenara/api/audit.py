"""The audit: who changed what, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel

from almenara.api.authorization import ADMINISTERS
from almenara.api.dependencies import Cursor, Limit, Moment, PartsNeeded, Text
from almenara.api.fields import no_nul
from almenara.api.problems import problems
from almenara.api.strict import StrictRoute
from almenara.audit import AuditFilters
from almenara.trail import Action

router = APIRouter(
    prefix="/v1", tags=["audit"], route_class=StrictRoute, responses=problems(422, 503)
)

Thing = Annotated[
    Annotated[str, AfterValidator(no_nul)] | None,
    Query(max_length=128, description="What was changed, such as `channel/team-slack`."),
]


class AuditOut(BaseModel):
    """One change."""

    id: UUID
    #: Whose token it was; `null` where none was asked for.
    subject: str | None
    action: Action
    #: What was changed, such as `channel/team-slack`.
    object: str
    #: As it was, secrets masked; `null`: it was not there, or nothing of it is said.
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    created_at: datetime


class AuditPage(BaseModel):
    """A page of changes, newest first."""

    data: list[AuditOut]
    next_cursor: str | None


@router.get("/audit", dependencies=[ADMINISTERS])
async def list_audit(
    parts: PartsNeeded,
    *,
    subject: Text = None,
    action: Action | None = None,
    thing: Annotated[Thing, Query(alias="object")] = None,
    since: Moment = None,
    until: Moment = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> AuditPage:
    """List who changed what: topics and channels, and what was resent, cancelled, replayed."""
    filters = AuditFilters(
        subject=subject, action=action, object_name=thing, since=since, until=until
    )
    page = await parts.audit.page(filters, cursor=cursor, limit=limit)
    return AuditPage(
        data=[
            AuditOut(**{name: getattr(row, name) for name in AuditOut.model_fields})
            for row in page.rows
        ],
        next_cursor=page.next_cursor,
    )
