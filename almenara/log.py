"""Reading the log: lists by filters and cursors, and one message with all that happened to it.

Lists come newest first. Ids are in the order of time, so a cursor is the last id that was seen, and
a span of time is a span of ids: no page costs more because the log is long.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from almenara.database import Database
from almenara.deliveries import Status
from almenara.errors import FieldError, InvalidInputError, NotFoundError
from almenara.models import Attempt, AuditEntry, Delivery, Message, Replay, lowest_id

Item = TypeVar("Item", Message, Delivery, Replay, AuditEntry)

#: A search for text looks at so many rows at the most, then hands back a cursor.
SEARCHED_AT_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some rows of a list, and where the next ones are."""

    rows: Sequence[Item]
    #: For the next page; ``None``: there is none.
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; each that is ``None`` is not looked at."""

    topic: str | None = None
    channel: str | None = None
    status: str | None = None
    reason: str | None = None
    reference: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    #: Only what this replay made.
    replay: UUID | None = None
    #: Only topics that have one of these names, or that begin as those do that end in ``*``.
    within: Sequence[str] | None = None
    #: Text that stands in the title or the description, whatever its case.
    q: str | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """One message with its deliveries and their attempts, oldest first."""

    message: Message
    deliveries: Sequence[Delivery]
    attempts: Mapping[UUID, Sequence[Attempt]] = field(default_factory=dict)


class Log:
    """Reads the log of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def messages(self, filters: Filters, *, cursor: str | None, limit: int) -> Page[Message]:
        """Return a page of messages.

        Raises:
            InvalidInputError: the cursor is not one of ours.
        """
        wanted: dict[str, Any] = {
            "topic": filters.topic and filters.topic.lower(),
            "status": filters.status,
            "reference": filters.reference,
        }
        query = _narrowed(Message.all(), wanted, filters, cursor).using_db(self._database.reader)
        if filters.within is not None:
            query = query.filter(_within("topic", filters.within))
        if filters.channel:
            query = query.filter(deliveries__channel=filters.channel.lower()).distinct()
        if filters.q:
            return await self._search(query, filters.q, limit)
        return cut_page(await query.limit(limit + 1), limit)

    async def deliveries(
        self, filters: Filters, *, cursor: str | None, limit: int
    ) -> Page[Delivery]:
        """Return a page of deliveries.

        Raises:
            InvalidInputError: the cursor is not one of ours.
        """
        wanted: dict[str, Any] = {
            "channel": filters.channel and filters.channel.lower(),
            "status": filters.status,
            "reason": filters.reason,
            "replay_id": filters.replay,
        }
        query = _narrowed(Delivery.all(), wanted, filters, cursor).using_db(self._database.reader)
        if filters.within is not None:
            query = query.filter(_within("message__topic", filters.within))
        if filters.topic:
            query = query.filter(message__topic=filters.topic.lower())
        return cut_page(await query.limit(limit + 1), limit)

    async def story(self, message_id: UUID) -> Story:
        """Return one message with all that happened to it.

        Raises:
            NotFoundError: there is no such message.
        """
        reader = self._database.reader
        # By one statement, so that the message's status and those of its deliveries agree.
        deliveries = (
            await Delivery.filter(message_id=message_id)
            .using_db(reader)
            .select_related("message")
            .order_by("position", "id")
        )
        if deliveries:
            message: Message | None = deliveries[0].message
        else:
            message = await Message.filter(id=message_id).using_db(reader).first()
        if message is None:
            raise NotFoundError("message", str(message_id))
        attempts = await self._attempts(message_id=message_id)
        known = {one.id: _known(one, attempts.get(one.id, ())) for one in deliveries}
        return Story(message, deliveries, known)

    async def delivery(self, delivery_id: UUID) -> tuple[Delivery, Sequence[Attempt]]:
        """Return one delivery with its attempts.

        Raises:
            NotFoundError: there is no such delivery.
        """
        found = await Delivery.filter(id=delivery_id).using_db(self._database.reader).first()
        if found is None:
            raise NotFoundError("delivery", str(delivery_id))
        attempts = await self._attempts(delivery_id=delivery_id)
        return found, _known(found, attempts.get(delivery_id, ()))

    async def topic_of(
        self, *, message_id: UUID | None = None, delivery_id: UUID | None = None
    ) -> str | None:
        """Return the topic of a message, or of a delivery's; ``None`` where there is none."""
        query = (
            Message.filter(deliveries__id=delivery_id)
            if message_id is None
            else Message.filter(id=message_id)
        )
        found = await query.using_db(self._database.reader).first()
        return None if found is None else found.topic

    async def _attempts(self, **wanted: UUID) -> dict[UUID, list[Attempt]]:
        attempts: dict[UUID, list[Attempt]] = {}
        query = Attempt.filter(**wanted).using_db(self._database.reader).order_by("id")
        for attempt in await query:
            attempts.setdefault(attempt.delivery_id, []).append(attempt)
        return attempts

    async def _search(self, query: QuerySet[Message], text: str, limit: int) -> Page[Message]:
        """Look for text in the newest rows; an unfinished search hands back where it stopped."""
        looked_at = await query.limit(SEARCHED_AT_MOST).values_list("id", flat=True)
        if not looked_at:
            return Page([], None)
        last = UUID(str(looked_at[-1]))
        found = await query.filter(
            Q(title__icontains=text) | Q(description__icontains=text), id__gte=last
        ).limit(limit + 1)
        if len(found) > limit or len(looked_at) < SEARCHED_AT_MOST:
            return cut_page(found, limit)
        return Page(found, write_cursor(last))


def _within(column: str, patterns: Sequence[str]) -> Q:
    """Return the condition that a topic is one of these."""
    beginnings = [one.removesuffix("*") for one in patterns if one.endswith("*")]
    names = [one for one in patterns if not one.endswith("*")]
    wanted: dict[str, Any] = {f"{column}__in": names}
    conditions = [Q(**{f"{column}__startswith": one}) for one in beginnings]
    return Q(Q(**wanted), *conditions, join_type=Q.OR)


def _known(delivery: Delivery, attempts: Iterable[Attempt]) -> list[Attempt]:
    """Leave out attempts that were recorded after the delivery was read, so that both agree."""
    under_way = delivery.status == Status.SENDING
    known = delivery.attempt_number - under_way
    return [one for one in attempts if one.number <= known]


def write_cursor(last: UUID) -> str:
    """Return the opaque text for "after this id"."""
    return base64.urlsafe_b64encode(last.bytes).decode().rstrip("=")


def read_cursor(text: str) -> UUID:
    """Read a cursor.

    Raises:
        InvalidInputError: it is not one of ours.
    """
    try:
        return UUID(bytes=base64.b64decode(text + "==", altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        message = "This is no cursor of ours; take next_cursor of the page before."
        wrong = FieldError(field="cursor", code="invalid_cursor", message=message)
        raise InvalidInputError(message, errors=[wrong]) from error


def _narrowed(
    query: QuerySet[Item], wanted: dict[str, Any], filters: Filters, cursor: str | None
) -> QuerySet[Item]:
    """Apply what all lists have in common."""
    query = query.filter(**{name: value for name, value in wanted.items() if value is not None})
    if filters.since:
        query = query.filter(id__gte=lowest_id(filters.since))
    if filters.until:
        query = query.filter(id__lt=lowest_id(filters.until))
    if cursor:
        query = query.filter(id__lt=read_cursor(cursor))
    return query.order_by("-id")


def cut_page(rows: list[Item], limit: int) -> Page[Item]:
    """Make a page of rows that were read with one more than the limit."""
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[:limit], write_cursor(rows[limit - 1].id))
