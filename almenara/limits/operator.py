"""What people do to a channel: pause it, resume it, write it anew, delete it.

Whoever calls these moves the configuration's revision, first of all (see ``catalogue``).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from almenara.database import Transaction
from almenara.limits.rows import PAUSED, PauseReason, State, lock_states, write_states
from almenara.limits.told import tell
from almenara.models import Channel


async def pause(
    transaction: Transaction, channel: Channel, *, detail: str | None, now: datetime
) -> bool:
    """Pause a channel until somebody resumes it; false when somebody has done so already.

    One that has paused by itself is the operator's from now on: it sends no more probes.
    """
    [state] = (await lock_states(transaction, [channel.id])).values()
    if state.reason == PauseReason.OPERATOR:
        return False
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
    tell(transaction, channel.name, state, paused)
    return True


async def resume(transaction: Transaction, channel: Channel, *, now: datetime) -> bool:
    """Resume a channel, whatever it was paused for; false when it is not paused.

    Its failures are forgotten; how much of its rate is used is not.
    """
    [state] = (await lock_states(transaction, [channel.id])).values()
    if not state.paused:
        return False
    resumed = State(channel.id, changed_at=now, rate_due_at=state.rate_due_at)
    await write_states(transaction, [resumed])
    tell(transaction, channel.name, state, resumed)
    return True


async def rewritten(
    transaction: Transaction,
    channel: Channel,
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
    [state] = (await lock_states(transaction, [channel.id])).values()
    after = state
    if plugin_changed and state.reason == PauseReason.MISCONFIGURED:
        after = State(channel.id, changed_at=now, rate_due_at=state.rate_due_at)
        tell(transaction, channel.name, state, after)
    if rate_changed:
        after = replace(after, rate_due_at=None)
    if after != state:
        await write_states(transaction, [after])


async def forget(transaction: Transaction, channel_id: UUID) -> None:
    """Delete how a channel fared; it is deleted itself."""
    await transaction.execute("DELETE FROM channel_state WHERE channel_id = $1", channel_id)
