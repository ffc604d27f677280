"""The rows of ``channel_state``: read, locked, written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from almenara.database import Database, Row, Transaction, read_id, read_timestamp

ACTIVE = "active"
PAUSED = "paused"


class PauseReason(StrEnum):
    """Why a channel is paused."""

    #: Somebody asked for it.
    OPERATOR = "operator"
    #: So many attempts in a row have failed; probes find out when it works again.
    FAILURES = "failures"
    #: The channel itself cannot send, such as for a wrong password; somebody must change it.
    MISCONFIGURED = "misconfigured"


class DrillOutcome(StrEnum):
    """What a drill came to."""

    #: The service took the login or the token, or what else the plugin tries.
    OK = "ok"
    #: It did not, or did not answer.
    FAILED = "failed"
    #: The plugin has no silent check.
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class LastDrill:
    """When a channel is drilled next, and what the last drill came to."""

    due_at: datetime | None = None
    #: How many have ended.
    count: int = 0
    verified_at: datetime | None = None
    outcome: str | None = None
    detail: str | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """How one channel fares, as the columns of its row say; without a row it is all new."""

    channel_id: UUID
    state: str = ACTIVE
    reason: str | None = None
    detail: str | None = None
    failure_count: int = 0
    changed_at: datetime | None = None
    probe_at: datetime | None = None
    probe_count: int = 0
    rate_due_at: datetime | None = None
    #: Written by ``drills`` alone: how the channel fares does not depend on it.
    drill: LastDrill = field(default=LastDrill(), compare=False)

    @property
    def paused(self) -> bool:
        """Whether it takes nothing but, perhaps, a probe."""
        return self.state == PAUSED


async def read_states(source: Database | Transaction, channel_ids: Iterable[UUID]) -> list[State]:
    """Read how channels fare, in their order, without a lock."""
    ids = list(channel_ids)
    rows = await source.fetch("SELECT * FROM channel_state")
    found = {state.channel_id: state for state in map(state_of, rows)}
    return [found.get(one, State(one)) for one in ids]


async def lock_states(
    transaction: Transaction, channel_ids: Collection[UUID], *, skip_locked: bool = False
) -> dict[UUID, State]:
    """Lock the rows of channels in the order of their ids, made if need be, and read them.

    Args:
        skip_locked: leave out what another process has locked, instead of waiting for it.
    """
    if not channel_ids:
        return {}
    source, values = transaction.rows({"id": "uuid"}, [(one,) for one in sorted(channel_ids)])
    await transaction.execute(
        f"""
        INSERT INTO channel_state (channel_id) SELECT id FROM {source}
        WHERE id NOT IN (SELECT channel_id FROM channel_state)
        ON CONFLICT (channel_id) DO NOTHING
        """,
        *values,
    )
    lock = "FOR UPDATE OF channel_state" if transaction.dialect == "postgres" else ""
    skip = "SKIP LOCKED" if lock and skip_locked else ""
    rows = await transaction.fetch(
        f"""
        SELECT channel_state.* FROM channel_state
        WHERE channel_id IN (SELECT id FROM {source}) ORDER BY channel_id {lock} {skip}
        """,
        *values,
    )
    return {state.channel_id: state for state in map(state_of, rows)}


async def write_states(transaction: Transaction, states: Sequence[State]) -> None:
    """Write rows that are locked."""
    if not states:
        return
    source, values = transaction.rows(
        {
            "id": "uuid",
            "state": "text",
            "reason": "text",
            "detail": "text",
            "failure_count": "integer",
            "changed_at": "timestamptz",
            "probe_at": "timestamptz",
            "probe_count": "integer",
            "rate_due_at": "timestamptz",
        },
        [
            (
                one.channel_id,
                one.state,
                one.reason,
                one.detail,
                one.failure_count,
                one.changed_at,
                one.probe_at,
                one.probe_count,
                one.rate_due_at,
            )
            for one in states
        ],
    )
    await transaction.execute(
        f"""
        UPDATE channel_state SET state = v.state, reason = v.reason, detail = v.detail,
            failure_count = v.failure_count, changed_at = v.changed_at, probe_at = v.probe_at,
            probe_count = v.probe_count, rate_due_at = v.rate_due_at
        FROM {source} WHERE channel_state.channel_id = v.id
        """,
        *values,
    )


def state_of(row: Row) -> State:
    """Read one row."""
    return State(
        channel_id=read_id(row["channel_id"]),
        state=row["state"],
        reason=row["reason"],
        detail=row["detail"],
        failure_count=row["failure_count"],
        changed_at=_moment(row["changed_at"]),
        probe_at=_moment(row["probe_at"]),
        probe_count=row["probe_count"],
        rate_due_at=_moment(row["rate_due_at"]),
        drill=LastDrill(
            due_at=_moment(row["verify_due_at"]),
            count=row["verify_count"],
            verified_at=_moment(row["verified_at"]),
            outcome=row["verify_outcome"],
            detail=row["verify_detail"],
            duration_ms=row["verify_duration_ms"],
        ),
    )


def _moment(value: object) -> datetime | None:
    return None if value is None else read_timestamp(value)
