"""News of channels, paused, resumed or failing their drills: for the log, and on system topics."""

from __future__ import annotations

from datetime import datetime

from almenara.database import Transaction
from almenara.limits.rows import DrillOutcome, LastDrill, PauseReason, State
from almenara.news import News, SystemTopic
from almenara.telemetry import get_logger

log = get_logger("limits")

#: What goes on, or is to be done, while a channel is paused.
_NEXT = {
    PauseReason.FAILURES: "One delivery tries it now and then; it resumes when that one is sent.",
    PauseReason.MISCONFIGURED: "It resumes when its settings are written anew.",
    PauseReason.OPERATOR: "It waits until somebody resumes it.",
}


def tell(transaction: Transaction, channel: str, before: State, after: State) -> None:
    """Put a change of a channel's state on the transaction's news, and into the log."""
    news = _paused(channel, after) if after.paused else _resumed(channel, before, after)
    transaction.news.append(news)
    event = "channel_paused" if after.paused else "channel_resumed"
    log.warning(event, channel=channel, reason=news.data["reason"], detail=after.detail)


def tell_drill(
    transaction: Transaction,
    channel: str,
    before: LastDrill,
    after: LastDrill,
) -> None:
    """Tell of a drill that fails where the one before did not, or succeeds where it failed."""
    failed = before.outcome == DrillOutcome.FAILED
    assert after.verified_at is not None  # noqa: S101 - it has ended
    if after.outcome == DrillOutcome.FAILED and not failed:
        topic, title = SystemTopic.DRILL_FAILED, f"Drill failed: {channel}"
        lines = [
            f"The drill of the channel {channel} fails.",
            after.detail,
            "A drill pauses nothing: messages are still tried.",
        ]
    elif after.outcome == DrillOutcome.OK and failed:
        topic, title = SystemTopic.DRILL_RECOVERED, f"Drill recovered: {channel}"
        lines = [f"The drill of the channel {channel} succeeds again.", after.detail]
    else:
        return
    text = "\n".join(filter(None, lines))
    data = {"channel": channel, "outcome": after.outcome, "detail": after.detail}
    transaction.news.append(News(topic, after.verified_at, title, text, data))
    event = "drill_failed" if topic is SystemTopic.DRILL_FAILED else "drill_recovered"
    log.warning(event, channel=channel, detail=after.detail)


def _paused(channel: str, state: State) -> News:
    reason = PauseReason(state.reason or "")
    lines = [
        f"The channel {channel} is paused ({reason}).",
        state.detail,
        f"What waits for it stays pending. {_NEXT[reason]}",
    ]
    return News(
        topic=SystemTopic.CHANNEL_PAUSED,
        at=_changed_at(state),
        title=f"Channel paused: {channel}",
        text="\n".join(filter(None, lines)),
        data={"channel": channel, "reason": reason.value, "detail": state.detail},
    )


def _resumed(channel: str, before: State, after: State) -> News:
    return News(
        topic=SystemTopic.CHANNEL_RESUMED,
        at=_changed_at(after),
        title=f"Channel resumed: {channel}",
        text=f"The channel {channel} takes deliveries again; it was paused ({before.reason}).",
        data={"channel": channel, "reason": before.reason},
    )


def _changed_at(state: State) -> datetime:
    assert state.changed_at is not None  # noqa: S101 - whatever changes a state says when
    return state.changed_at
