"""The words in which a time line speaks of reasons, times and names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

#: Why a delivery failed, by its reason.
FAILED = {
    "permanent": "trying again would not help",
    "exhausted": "its retries are used up",
    "expired": "its time was over before it was sent",
}
#: Why it was cancelled.
CANCELLED = {
    "collapsed": "a newer message with its topic and collapse key came",
    "superseded": "the deadline of its step passed while it waited",
    "not_needed": "another channel sent the message",
    "operator": "somebody asked for it",
    "channel_deleted": "its channel was deleted",
}
#: Why it is held.
HELD = {
    "unknown_outcome": "whether it was sent is not known, and the channel says hold",
    "poison": "three processes in a row ended while they tried it",
}
#: How an attempt went wrong, by its outcome.
ATTEMPT_FAILED = {
    "temporary_error": "failed",
    "rate_limited": "was put off by the service",
    "permanent_error": "was refused for good",
    "timeout": "ran into its deadline",
}


def duration(milliseconds: int) -> str:
    """Write how long an attempt took."""
    return f"{milliseconds} ms" if milliseconds < 1_000 else f"{milliseconds / 1_000:.1f} s"  # noqa: PLR2004 - a second


def sentence(text: str) -> str:
    """End a text as a sentence."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def moment(at: datetime) -> str:
    """Write a time."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def listed(names: Sequence[str]) -> str:
    """Write names, the last behind an "and"."""
    *most, last = names or ("",)
    return f"{', '.join(most)} and {last}" if most else last
