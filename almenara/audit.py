"""The audit: reads the trail that changes leave, and forgets what is old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from almenara.database import Database
from almenara.log import Page, cut_page, read_cursor
from almenara.models import AuditEntry, lowest_id


@dataclass(frozen=True, slots=True)
class AuditFilters:
    """What the list is narrowed to; each that is ``None`` is not looked at."""

    subject: str | None = None
    action: str | None = None
    #: Such as ``channel/team-slack``.
    object_name: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Audit:
    """Reads the trail of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, filters: AuditFilters, *, cursor: str | None, limit: int
    ) -> Page[AuditEntry]:
        """Return a page of entries, newest first.

        Raises:
            InvalidInputError: the cursor is not one of ours.
        """
        query = AuditEntry.all().using_db(self._database.reader).order_by("-id")
        wanted = {
            "subject": filters.subject,
            "action": filters.action,
            "object": filters.object_name and filters.object_name.lower(),
        }
        query = query.filter(**{name: value for name, value in wanted.items() if value})
        if filters.since:
            query = query.filter(id__gte=lowest_id(filters.since))
        if filters.until:
            query = query.filter(id__lt=lowest_id(filters.until))
        if cursor:
            query = query.filter(id__lt=read_cursor(cursor))
        return cut_page(await query.limit(limit + 1), limit)
