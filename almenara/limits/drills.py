"""Drills: asked for, scheduled, claimed by one process of several, and what they came to.

``verify_due_at`` is all that processes agree by: whoever moves it ahead makes the drill, and when
that process dies, the drill is due again. What a drill came to moves no revision, and pauses
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from almenara.database import Database, Row, Transaction, read_id, read_timestamp
from almenara.errors import NotFoundError
from almenara.limits.rows import DrillOutcome, LastDrill, lock_states, state_of
from almenara.limits.told import tell_drill
from almenara.models import Channel
from almenara.retry import JITTER, parse_duration

#: Drills of one channel are at least so far apart, and at most.
SHORTEST_EVERY, LONGEST_EVERY = timedelta(minutes=1), timedelta(days=30)
#: A channel that was written is drilled so soon at the latest.
_SOON = timedelta(minutes=1)
#: A drill whose process has died is due again so long after its deadline.
_LOST_AFTER = timedelta(seconds=30)
#: No drill is due later: a moment beyond was written by a clock that has jumped since.
_HORIZON = LONGEST_EVERY * (1 + JITTER)


@dataclass(frozen=True, slots=True)
class DueDrill:
    """A drill that is due, or is this process's to make."""

    channel_id: UUID
    channel: str
    timeout: timedelta
    #: What stands in its row; once claimed, when it is given up for lost.
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Drilled:
    """What a drill came to."""

    outcome: DrillOutcome
    #: A sentence without secrets.
    detail: str | None
    duration_ms: int


async def find_due(database: Database, now: datetime) -> list[DueDrill]:
    """Find the drills that are due, the longest waiting first; without a lock."""
    rows = await database.fetch(
        """
        SELECT channel.id, channel.name, channel.timeout_seconds, s.verify_due_at
        FROM channel_state AS s JOIN channel ON channel.id = s.channel_id
        WHERE s.verify_due_at <= $1 OR s.verify_due_at > $2
        ORDER BY s.verify_due_at
        """,
        now,
        now + _HORIZON,
    )
    return [_due(row) for row in rows]


async def read_drill(database: Database, channel_id: UUID) -> LastDrill:
    """Read what a channel's last drill came to, without a lock."""
    rows = await database.fetch("SELECT * FROM channel_state WHERE channel_id = $1", channel_id)
    return state_of(rows[0]).drill if rows else LastDrill()


async def claim_drills(
    transaction: Transaction, due: Sequence[DueDrill], *, now: datetime
) -> list[DueDrill]:
    """Claim drills that are due, and return those that nobody else has claimed meanwhile."""
    states = await lock_states(transaction, [one.channel_id for one in due], skip_locked=True)
    claimed = [
        replace(one, due_at=now + one.timeout + _LOST_AFTER)
        for one in due
        if one.channel_id in states and states[one.channel_id].drill.due_at == one.due_at
    ]
    for one in claimed:
        await _set_due(transaction, one.channel_id, one.due_at)
    return claimed


async def ask_for_drill(transaction: Transaction, channel: Channel, *, now: datetime) -> int:
    """Make a drill of a channel due now, and return how many have ended so far.

    Raises:
        NotFoundError: the channel was deleted meanwhile.
    """
    if await _channel(transaction, channel.id) is None:
        raise NotFoundError("channel", channel.name)
    [state] = (await lock_states(transaction, [channel.id])).values()
    await _set_due(transaction, channel.id, now)
    return state.drill.count


async def schedule_drill(
    transaction: Transaction, channel: Channel, *, now: datetime, spread: float
) -> None:
    """Schedule the drill of a channel that was written: soon, or none any more.

    Args:
        spread: a random number from 0 to 1, so that channels written together are not drilled so.
    """
    if channel.verify_every is None or not channel.enabled:
        await _set_due(transaction, channel.id, None)
        return
    await lock_states(transaction, [channel.id])
    await _set_due(transaction, channel.id, now + _SOON * spread)


async def record_drill(
    transaction: Transaction,
    claim: DueDrill,
    drilled: Drilled,
    *,
    revision: int,
    now: datetime,
    spread: float,
) -> None:
    """Record what a drill came to, and when the next is due; a change for bad or good is news.

    One of a channel that was written meanwhile tells nothing: it is due again at once.

    Args:
        revision: of the channel as it was drilled.
        spread: a random number from -1 to 1, for the jitter of the next.
    """
    row = await _channel(transaction, claim.channel_id)
    if row is None:
        return
    [state] = (await lock_states(transaction, [claim.channel_id])).values()
    if row["revision"] != revision:
        await _set_due(transaction, claim.channel_id, now)
        return
    after = LastDrill(
        count=state.drill.count + 1,
        verified_at=now,
        outcome=drilled.outcome.value,
        detail=drilled.detail,
        duration_ms=drilled.duration_ms,
    )
    await transaction.execute(
        """
        UPDATE channel_state SET verify_count = $2, verified_at = $3, verify_outcome = $4,
            verify_detail = $5, verify_duration_ms = $6
        WHERE channel_id = $1
        """,
        claim.channel_id,
        after.count,
        after.verified_at,
        after.outcome,
        after.detail,
        after.duration_ms,
    )
    if state.drill.due_at == claim.due_at:
        # Otherwise somebody has asked for another one, or has written the channel.
        await _set_due(transaction, claim.channel_id, _next_due(row, now, spread))
    tell_drill(transaction, row["name"], state.drill, after)


def _next_due(row: Row, now: datetime, spread: float) -> datetime | None:
    if row["verify_every"] is None or not row["enabled"]:
        return None
    return now + parse_duration(row["verify_every"], longest=LONGEST_EVERY) * (1 + JITTER * spread)


async def _channel(transaction: Transaction, channel_id: UUID) -> Row | None:
    """Return a channel's row, which nobody changes until the transaction ends."""
    if transaction.dialect == "postgres":
        # First of all, as everywhere.
        await transaction.fetch("SELECT revision FROM configuration WHERE id = 1 FOR SHARE")
    rows = await transaction.fetch(
        "SELECT name, revision, enabled, verify_every FROM channel WHERE id = $1", channel_id
    )
    return rows[0] if rows else None


async def _set_due(transaction: Transaction, channel_id: UUID, due_at: datetime | None) -> None:
    await transaction.execute(
        "UPDATE channel_state SET verify_due_at = $2 WHERE channel_id = $1", channel_id, due_at
    )


def _due(row: Row) -> DueDrill:
    return DueDrill(
        channel_id=read_id(row["id"]),
        channel=row["name"],
        timeout=timedelta(seconds=row["timeout_seconds"]),
        due_at=read_timestamp(row["verify_due_at"]),
    )
