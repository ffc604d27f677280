"""Which deliveries a replay sends again: its filters, checked, as SQL, and in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from almenara.deliveries import Reason
from almenara.errors import FieldError, InvalidInputError
from almenara.models import lowest_id
from almenara.routing import Table

#: The statuses that a replay may look for.
FinalStatus = Literal["failed", "cancelled", "sent"]

#: How a delivery with a reason has ended; what has another reason is held, and not final.
_ENDS: dict[Reason, FinalStatus] = {
    Reason.PERMANENT: "failed",
    Reason.EXHAUSTED: "failed",
    Reason.EXPIRED: "failed",
    Reason.COLLAPSED: "cancelled",
    Reason.SUPERSEDED: "cancelled",
    Reason.NOT_NEEDED: "cancelled",
    Reason.OPERATOR: "cancelled",
    Reason.CHANNEL_DELETED: "cancelled",
}

#: Cancelled because something else was sent in its place: only replayed where it is named.
_REPLACED = (Reason.COLLAPSED, Reason.SUPERSEDED, Reason.NOT_NEEDED)


@dataclass(frozen=True, slots=True)
class Selection:
    """The filters of a replay; each that is ``None`` is not looked at."""

    channel: str | None = None
    topic: str | None = None
    #: ``None``: what failed or was cancelled.
    status: FinalStatus | None = None
    reason: Reason | None = None
    since: datetime | None = None
    until: datetime | None = None

    def checked(self, table: Table) -> Self:
        """Return the same with the names as they are stored.

        Raises:
            InvalidInputError: nothing could match it, or everything would.
        """
        errors = list(self._mistakes())
        if errors:
            raise InvalidInputError(errors[0].message, errors=errors)
        return dataclasses.replace(
            self,
            channel=self.channel and table.channel(self.channel).name,
            topic=self.topic and table.topic(self.topic).name,
        )

    def _mistakes(self) -> Iterator[FieldError]:
        if not any((self.channel, self.topic, self.reason, self.since)):
            yield FieldError(
                field="",
                code="filter_missing",
                message="Name a channel, a topic, a reason or the time since when: everything at "
                "once is never replayed.",
            )
        end = self.reason and _ENDS.get(self.reason)
        if self.reason and end is None:
            yield FieldError(
                field="reason",
                code="not_final",
                message="What has this reason is held: release or cancel it; a replay sends again "
                "what is final.",
            )
        elif end and self.status not in {None, end}:
            yield FieldError(
                field="status",
                code="contradiction",
                message=f"What has this reason is {end}; leave the status out.",
            )
        if self.since and self.until and self.until <= self.since:
            yield FieldError(
                field="until", code="contradiction", message="Write a time after since."
            )

    @property
    def statuses(self) -> Sequence[FinalStatus]:
        """The statuses that are looked for."""
        if self.reason:
            return (_ENDS[self.reason],)
        return ("failed", "cancelled") if self.status is None else (self.status,)

    def newest_id(self, replay_id: UUID) -> UUID:
        """Return the id that the deliveries come before: that of the time, or the replay's own."""
        return min(lowest_id(self.until), replay_id) if self.until else replay_id

    def page(
        self, *, after: UUID | None, before: UUID, replay_id: UUID, limit: int
    ) -> tuple[str, list[object]]:
        """Return the statement for the next deliveries in the order of their ids, and its values.

        Each status is one walk along an index that stops at the limit. What was sent again already
        is left out, and so is what the replay has made itself.
        """
        values: list[object] = [before, replay_id, limit]
        conditions = [
            "delivery.id < $1",
            "(delivery.replay_id IS NULL OR delivery.replay_id <> $2)",
            "NOT EXISTS (SELECT 1 FROM delivery AS newer WHERE newer.resend_of = delivery.id)",
        ]

        def narrow(condition: str, value: object) -> None:
            if value is not None:
                values.append(value)
                conditions.append(f"{condition} ${len(values)}")

        narrow("delivery.id >", after)
        narrow("delivery.id >=", self.since and lowest_id(self.since))
        narrow("delivery.channel =", self.channel)
        narrow("delivery.reason =", self.reason and self.reason.value)
        narrow("message.topic =", self.topic)
        if self.reason is None:
            replaced = ", ".join(f"'{reason}'" for reason in _REPLACED)
            conditions.append(f"(delivery.reason IS NULL OR delivery.reason NOT IN ({replaced}))")
        message = "JOIN message ON message.id = delivery.message_id" if self.topic else ""
        walks = (
            f"""
            SELECT * FROM (
                SELECT delivery.id, delivery.message_id FROM delivery {message}
                WHERE delivery.status = '{status}' AND {" AND ".join(conditions)}
                ORDER BY delivery.id LIMIT $3) AS of_{status}
            """
            for status in self.statuses
        )
        return f"{' UNION ALL '.join(walks)} ORDER BY id LIMIT $3", values

    def sentence(self) -> str:
        """Say that nothing was found, and what was looked for."""
        words = [f"There is nothing to replay: no {' or '.join(self.statuses)} delivery"]
        for name, value in (
            ("through the channel", self.channel and repr(self.channel)),
            ("of the topic", self.topic and repr(self.topic)),
            ("with the reason", self.reason and self.reason.value),
            ("since", self.since and self.since.isoformat()),
            ("until", self.until and self.until.isoformat()),
        ):
            if value is not None:
                words.append(f"{name} {value}")
        return f"{' '.join(words)} that was not sent again already."

    def to_json(self) -> dict[str, object]:
        """Return what is stored."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else str(value)
            for name, value in dataclasses.asdict(self).items()
            if value is not None
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what was stored."""
        read: dict[str, Callable[[str], Any]] = {
            "reason": Reason,
            "since": datetime.fromisoformat,
            "until": datetime.fromisoformat,
        }
        return cls(**{name: read.get(name, str)(value) for name, value in stored.items()})
