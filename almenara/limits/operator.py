"""What people do to a channel: pause it, resume it, write it anew, delete it.

Whoever calls these moves the configuration's revision, first of all (see ``catalogue``).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from almenara.database import Transaction
from almenara.limits.rows import PAUSED, PauseReason, State, lock_states, write_states


async def pause(
    transaction: Transaction, channel_id: UUID, *, detail: str | None, now: datetime
) -> State | None:
    """Pause a channel until somebody resumes it; ``None`` when somebody has done so already.

    One that has paused by itself is the operator's from now on: it sends no more probes.
    """
    [state] = (await lock_states(transaction, [channel_id])).values()
    if state.reason == PauseReason.OPERATOR:
        return None
    paused = replace(
        state,
        state=PAUSED,
        reason=PauseReason.OPERATOR.value,
        detail=detail,
        changed_at=now,
        probe_at=None,
        probe_count=0,
    )
    await write_states(transaction, [paused])
    return paused


async def resume(transaction: Transaction, channel_id: UUID, *, now: datetime) -> State | None:
    """Resume a channel, whatever it was paused for; ``None`` when it is not paused.

    Its failures are forgotten; how much of its rate is used is not.
    """
    [state] = (await lock_states(transaction, [channel_id])).values()
    if not state.paused:
        return None
    resumed = State(channel_id, changed_at=now, rate_due_at=state.rate_due_at)
    await write_states(transaction, [resumed])
    return resumed


async def rewritten(
    transaction: Transaction,
    channel_id: UUID,
    *,
    plugin_changed: bool,
    rate_changed: bool,
    now: datetime,
) -> None:
    """Let a channel that was written begin anew: resumed if it was misconfigured, its rate unused.

    Args:
        plugin_changed: its plugin or its settings were written.
        rate_changed: its rate or burst is another one.
    """
    if not (plugin_changed or rate_changed):
        return
    [state] = (await lock_states(transaction, [channel_id])).values()
    after = state
    if plugin_changed and state.reason == PauseReason.MISCONFIGURED:
        after = State(channel_id, changed_at=now, rate_due_at=state.rate_due_at)
    if rate_changed:
        after = replace(after, rate_due_at=None)
    if after != state:
        await write_states(transaction, [after])


async def forget(transaction: Transaction, channel_id: UUID) -> None:
    """Delete how a channel fared; it is deleted itself."""
    await transaction.execute("DELETE FROM channel_state WHERE channel_id = $1", channel_id)
