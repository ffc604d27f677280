"""What a claim may take of each channel: nothing while it is paused, tokens of its rate, a probe.

One row counts a channel's rate for every process on the database; it stays locked until the claim
is committed, so that what the claim did not use was never taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from almenara.database import Row, Transaction, read_id
from almenara.deliveries import LEASE, Claim
from almenara.limits.breaker import probe_wait
from almenara.limits.rows import State, lock_states, write_states
from almenara.rates import Rate, admit, parse_rate
from almenara.retry import parse_duration

#: When to look again at a channel whose row another process has locked.
_BUSY = timedelta(milliseconds=25)


@dataclass(frozen=True, slots=True)
class _Gate:
    """One channel that does not take whatever comes, its row locked."""

    state: State
    rate: Rate | None
    burst: int | None
    breaker_wait: timedelta


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a claim may take."""

    #: By channel: so many at the most, as the claim's own limits are written.
    limits: Sequence[tuple[str, int]]
    #: Channels that take nothing now, and when to ask again; ``None``: when they are changed.
    closed: Mapping[str, datetime | None]
    gates: Mapping[str, _Gate] = field(default_factory=dict)


async def allow(
    transaction: Transaction, limits: Sequence[tuple[str, int]], *, now: datetime
) -> Allowance:
    """Lower a claim's limits to what the channels may take now; :func:`use` must follow.

    Channels without a rate that are not paused cost one look, and no lock.
    """
    if not limits:
        return Allowance(limits, {})
    source, values = transaction.rows({"name": "text"}, [(name,) for name, _ in limits])
    rows = await transaction.fetch(
        f"""
        SELECT channel.id, channel.name, channel.rate, channel.burst, channel.breaker_wait
        FROM channel LEFT JOIN channel_state AS s ON s.channel_id = channel.id
        WHERE channel.name IN (SELECT name FROM {source})
            AND (channel.rate IS NOT NULL OR s.state = 'paused')
        """,
        *values,
    )
    gated = {row["name"]: row for row in rows}
    if not gated:
        return Allowance(limits, {})
    ids = [read_id(row["id"]) for row in rows]
    locked = await lock_states(transaction, ids, skip_locked=True)
    gates = {
        row["name"]: _gate(row, locked[channel_id])
        for row, channel_id in zip(rows, ids, strict=True)
        if channel_id in locked
    }
    closed: dict[str, datetime | None] = {name: now + _BUSY for name in gated if name not in gates}
    allowed: list[tuple[str, int]] = []
    for name, wanted in limits:
        count, next_at = _free(gates[name], wanted, now) if name in gates else (wanted, now)
        if count and name not in closed:
            allowed.append((name, count))
        elif name not in closed:
            closed[name] = next_at
    return Allowance(allowed, closed, gates)


async def use(
    transaction: Transaction, allowance: Allowance, claims: Iterable[Claim], *, now: datetime
) -> dict[str, datetime | None]:
    """Take what the claims use of their allowance, and return which channels are closed now."""
    used = Counter(claim.channel for claim in claims)
    closed = dict(allowance.closed)
    changed: list[State] = []
    for name, gate in allowance.gates.items():
        state = gate.state
        if state.paused and used[name]:
            # Until the probe has told, or its process must be dead.
            state = replace(state, probe_at=now + _longest_probe_wait(gate))
            closed[name] = state.probe_at
        if gate.rate is not None:
            taken = admit(
                state.rate_due_at, now=now, rate=gate.rate, burst=gate.burst, wanted=used[name]
            )
            state = replace(state, rate_due_at=taken.arrival_at)
            if not state.paused and taken.next_at > now:
                closed[name] = taken.next_at
        if state != gate.state:
            changed.append(state)
    await write_states(transaction, changed)
    return closed


def _gate(row: Row, state: State) -> _Gate:
    return _Gate(
        state=state,
        rate=None if row["rate"] is None else parse_rate(row["rate"]),
        burst=row["burst"],
        breaker_wait=parse_duration(row["breaker_wait"]),
    )


def _free(gate: _Gate, wanted: int, now: datetime) -> tuple[int, datetime | None]:
    """Say how many may begin, and if none, when to ask again."""
    state = gate.state
    if state.paused:
        if not _probe_is_due(gate, now):
            return 0, state.probe_at
        wanted = min(wanted, 1)
    if gate.rate is None:
        return wanted, None
    admission = admit(state.rate_due_at, now=now, rate=gate.rate, burst=gate.burst, wanted=wanted)
    return admission.count, admission.next_at


def _probe_is_due(gate: _Gate, now: datetime) -> bool:
    """Tell whether a paused channel may be tried.

    A moment further ahead than any wait was written by a clock that has jumped since, or when the
    channel had another wait.
    """
    probe_at = gate.state.probe_at
    return probe_at is not None and not now < probe_at <= now + _longest_probe_wait(gate)


def _longest_probe_wait(gate: _Gate) -> timedelta:
    return max(probe_wait(gate.breaker_wait, gate.state.probe_count), LEASE)
