"""The breaker: a run of failures pauses a channel, probes find out when it works again.

A service's answer about one message (``permanent_error``), its wish to be asked less
(``rate_limited``) and the death of a process (``unknown``) say nothing about the channel: they
count neither way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from almenara.database import Row, Transaction, read_id, read_timestamp
from almenara.deliveries import LEASE, Outcome, Result
from almenara.limits.rows import (
    ACTIVE,
    PAUSED,
    PauseReason,
    State,
    lock_states,
    write_states,
)
from almenara.limits.told import tell
from almenara.retry import LONGEST_WAIT, parse_duration

#: The wait before a probe doubles with each one that fails, up to so many times the first.
_LONGEST_FACTOR = 16

#: An attempt that began before its channel was paused, and is only now recorded, began earlier than
#: so long after it.
_STRAGGLING = timedelta(seconds=1)

_FAILURES = frozenset({Outcome.TEMPORARY_ERROR, Outcome.TIMEOUT})


@dataclass(frozen=True, slots=True)
class Policy:
    """What a channel's breaker goes by."""

    name: str
    #: So many failures in a row pause the channel; 0: never.
    failures: int
    wait: timedelta
    #: When the channel was written last.
    updated_at: datetime


def probe_wait(wait: timedelta, probe_count: int) -> timedelta:
    """Return how long to wait for the next probe, after so many that have failed."""
    factor: int = min(2**probe_count, _LONGEST_FACTOR)
    return min(wait * factor, LONGEST_WAIT)


async def note(transaction: Transaction, results: Sequence[Result]) -> None:
    """Count what attempts came to, and pause and resume their channels, which is news.

    A change moves the configuration's revision in the same transaction, so that every process
    obeys it. A channel that does not fail costs one look, and no write. Call it before messages
    are locked.
    """
    telling: dict[str, list[Result]] = {}
    for result in results:
        if result.outcome in _FAILURES or result.outcome is Outcome.SENT or result.misconfigured:
            telling.setdefault(result.claim.channel, []).append(result)
    rows = await _concerned(transaction, telling)
    if any(_may_change(row, telling[row["name"]]) for row in rows):
        await _lock_configuration(transaction)
    policies = {read_id(row["id"]): _policy(row) for row in rows}
    states = await lock_states(transaction, list(policies))
    after = {
        channel_id: follow(state, policies[channel_id], telling[policies[channel_id].name])
        for channel_id, state in states.items()
    }
    moved = [one for one in after.values() if one != states[one.channel_id]]
    await write_states(transaction, moved)
    changed = [one for one in moved if _kind(one) != _kind(states[one.channel_id])]
    for one in changed:
        tell(transaction, policies[one.channel_id].name, states[one.channel_id], one)
    if changed:
        await move_revision(transaction)


async def move_revision(transaction: Transaction) -> None:
    """Move the configuration's revision, so that every process reads how channels fare."""
    await transaction.execute("UPDATE configuration SET revision = revision + 1 WHERE id = 1")


def follow(state: State, policy: Policy, results: Sequence[Result]) -> State:
    """Return how a channel fares after some attempts; pure."""
    for result in sorted(results, key=lambda one: one.finished_at):
        if not _is_stale(state, policy, result):
            state = _after(state, policy, result)
    return state


def _is_stale(state: State, policy: Policy, result: Result) -> bool:
    """Tell whether an attempt began before its channel became what it is now.

    A change that is far ahead of the attempt's end was written by a clock that has jumped since.
    """
    begun = result.claim.started_at
    horizon = result.finished_at + LEASE
    changed_at = state.changed_at
    if changed_at is not None and state.paused:
        changed_at += _STRAGGLING
    return any(begun < moment <= horizon for moment in (changed_at, policy.updated_at) if moment)


def _after(state: State, policy: Policy, result: Result) -> State:
    if result.misconfigured:
        return _paused(state, PauseReason.MISCONFIGURED, result, result.error or "")
    if state.paused and state.reason != PauseReason.FAILURES:
        return state
    if result.outcome is Outcome.SENT:
        return _worked(state, result)
    count = state.failure_count + 1
    if state.paused:
        probe_count = state.probe_count + 1
        return replace(
            state,
            failure_count=count,
            probe_count=probe_count,
            probe_at=result.finished_at + probe_wait(policy.wait, probe_count),
        )
    state = replace(state, failure_count=count)
    if 0 < policy.failures <= count:
        detail = f"{count} attempts in a row have failed; the last: {result.error}"
        probe_at = result.finished_at + policy.wait
        return _paused(state, PauseReason.FAILURES, result, detail, probe_at=probe_at)
    return state


def _worked(state: State, result: Result) -> State:
    if not state.paused:
        return replace(state, failure_count=0)
    return State(
        channel_id=state.channel_id,
        state=ACTIVE,
        changed_at=result.finished_at,
        rate_due_at=state.rate_due_at,
    )


def _paused(
    state: State,
    reason: PauseReason,
    result: Result,
    detail: str,
    *,
    probe_at: datetime | None = None,
) -> State:
    """Pause a channel, unless it waits for somebody already."""
    if state.paused and state.reason != PauseReason.FAILURES:
        return state
    return replace(
        state,
        state=PAUSED,
        reason=reason.value,
        detail=detail,
        changed_at=result.finished_at,
        probe_at=probe_at,
        probe_count=0,
    )


async def _concerned(
    transaction: Transaction, telling: Mapping[str, Sequence[Result]]
) -> list[Row]:
    """Find the channels for which these results mean anything: those that fail, or have failed."""
    if not telling:
        return []
    source, values = transaction.rows(
        {"name": "text", "failing": "boolean"},
        [
            (name, any(one.outcome is not Outcome.SENT for one in results))
            for name, results in telling.items()
        ],
    )
    return await transaction.fetch(
        f"""
        SELECT channel.id, channel.name, channel.breaker_failures, channel.breaker_wait,
            channel.updated_at, s.state, s.failure_count
        FROM {source} JOIN channel ON channel.name = v.name
        LEFT JOIN channel_state AS s ON s.channel_id = channel.id
        WHERE v.failing OR s.failure_count > 0 OR s.state = 'paused'
        """,
        *values,
    )


def _may_change(row: Row, results: Sequence[Result]) -> bool:
    """Tell whether a channel may be paused or resumed, as it stands before its row is locked."""
    worst = (row["failure_count"] or 0) + len(results)
    return (
        row["state"] == PAUSED
        or 0 < row["breaker_failures"] <= worst
        or any(one.misconfigured for one in results)
    )


async def _lock_configuration(transaction: Transaction) -> None:
    if transaction.dialect == "postgres":
        await transaction.fetch("SELECT revision FROM configuration WHERE id = 1 FOR UPDATE")


def _policy(row: Row) -> Policy:
    return Policy(
        name=row["name"],
        failures=row["breaker_failures"],
        wait=parse_duration(row["breaker_wait"]),
        updated_at=read_timestamp(row["updated_at"]),
    )


def _kind(state: State) -> tuple[str, str | None]:
    return state.state, state.reason
