"""News of channels that were paused or resumed, for people on system topics and for the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from almenara.database import Transaction
from almenara.limits.rows import PauseReason, State
from almenara.news import News, SystemTopic
from almenara.telemetry import get_logger

log = get_logger("limits")

#: What goes on, or is to be done, while a channel is paused.
_NEXT = {
    PauseReason.FAILURES: "One delivery tries it again now and then; it resumes when that is sent.",
    PauseReason.MISCONFIGURED: "It resumes when its settings are written anew.",
    PauseReason.OPERATOR: "It waits until somebody resumes it.",
}


@dataclass(frozen=True, slots=True)
class StateChange:
    """A channel was paused or resumed."""

    channel: str
    paused: bool
    #: Why it is paused, or was.
    reason: str
    #: The same in a sentence, secrets masked.
    detail: str | None
    at: datetime


def tell(
    transaction: Transaction, channel: str, before: State, after: State, *, at: datetime
) -> None:
    """Put a change of a channel's state on the transaction's news, and into the log."""
    change = StateChange(
        channel=channel,
        paused=after.paused,
        reason=(after.reason if after.paused else before.reason) or "",
        detail=after.detail,
        at=at,
    )
    transaction.news.append(_news(change))
    log.warning(
        "channel_paused" if change.paused else "channel_resumed",
        channel=channel,
        reason=change.reason,
        detail=change.detail,
    )


def _news(change: StateChange) -> News:
    verb = "is paused" if change.paused else "takes deliveries again"
    sentence = f"The channel {change.channel} {verb} ({change.reason})."
    waits = "What waits for it stays pending. " + _NEXT[PauseReason(change.reason)]
    return News(
        topic=SystemTopic.CHANNEL_PAUSED if change.paused else SystemTopic.CHANNEL_RESUMED,
        at=change.at,
        title=f"Channel {'paused' if change.paused else 'resumed'}: {change.channel}",
        text="\n".join(
            part for part in (sentence, change.detail, waits if change.paused else None) if part
        ),
        data={
            "channel": change.channel,
            "state": "paused" if change.paused else "active",
            "reason": change.reason,
            "detail": change.detail,
        },
    )
