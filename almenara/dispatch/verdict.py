"""What an attempt came to: the end of a call becomes an outcome and the delivery's next state."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from almenara.deliveries import Claim, Outcome, Reason, Result, Status, after_unknown
from almenara.dispatch.call import Ended
from almenara.errors import (
    AlmenaraError,
    ChannelError,
    PermanentError,
    RateLimitedError,
    TemporaryError,
)
from almenara.loader import mask
from almenara.plugin import Receipt
from almenara.retry import next_wait
from almenara.routing import ChannelRoute

#: No error text in the log is longer, in characters.
_LONGEST_ERROR = 1_000
_LONGEST_REFERENCE = 255


def judge(
    ended: Ended,
    claim: Claim,
    channel: ChannelRoute,
    *,
    now: datetime,
    spread: float,
    secrets: Iterable[str],
) -> Result:
    """Decide what an attempt came to, whatever a plugin raised or returned.

    Args:
        spread: a random number from -1 to 1, for the jitter of the next wait.
        secrets: what must not stand in the log.
    """
    try:
        return _judged(ended, claim, channel, now=now, spread=spread, secrets=secrets)
    except BaseException:  # noqa: BLE001 - an error or a value may raise when it is looked at
        return _unreadable(ended, claim, channel, now, spread)


def _judged(
    ended: Ended,
    claim: Claim,
    channel: ChannelRoute,
    *,
    now: datetime,
    spread: float,
    secrets: Iterable[str],
) -> Result:
    if ended.abandoned:
        return _abandoned(claim, channel, now)
    if ended.timed_out:
        return _timed_out(claim, channel, now, spread)
    if ended.error is not None:
        text = describe(ended.error, secrets)
        return _failed(ended.error, claim, channel, now=now, spread=spread, text=text)
    reference, detail = _receipt(ended.value)
    return Result(
        claim=claim,
        outcome=Outcome.SENT,
        finished_at=now,
        status=Status.SENT,
        retry_step=claim.retry_step,
        reference=reference and clean(reference, secrets, _LONGEST_REFERENCE),
        detail=detail and clean(detail, secrets),
    )


def describe(error: BaseException, secrets: Iterable[str]) -> str:
    """Say what a plugin raised, in one line without secrets."""
    text = str(error) if isinstance(error, AlmenaraError) else f"{type(error).__name__}: {error}"
    return clean(text.removesuffix(": "), secrets)


def clean(text: str, secrets: Iterable[str], longest: int = _LONGEST_ERROR) -> str:
    """Mask secrets, escape control characters, cut to length."""
    text = mask(text, secrets)
    # PostgreSQL refuses NUL and lone surrogates, and a log line is one line.
    text = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
    return text if len(text) <= longest else text[: longest - 1] + "…"


def advise(said: str, channel: ChannelRoute) -> str:
    """Add what to do about a channel that was refused, whatever the message."""
    end = "" if said.endswith((".", "!", "?", "…")) else "."
    return f"{said}{end} Write it anew with PATCH /v1/channels/{channel.name}."


def _unreadable(
    ended: Ended, claim: Claim, channel: ChannelRoute, now: datetime, spread: float
) -> Result:
    """Judge what cannot be looked at by its type alone."""
    kind = clean(type(ended.value if ended.error is None else ended.error).__name__, (), 100)
    if ended.error is None:
        return Result(
            claim=claim,
            outcome=Outcome.SENT,
            finished_at=now,
            status=Status.SENT,
            retry_step=claim.retry_step,
            detail=f"The plugin returned a {kind} that cannot be read; it was not recorded.",
        )
    return _again(
        claim,
        channel,
        now,
        outcome=Outcome.TEMPORARY_ERROR,
        error=f"The plugin raised a {kind} that cannot be printed or read.",
        spread=spread,
    )


def _failed(
    error: BaseException,
    claim: Claim,
    channel: ChannelRoute,
    *,
    now: datetime,
    spread: float,
    text: str,
) -> Result:
    if isinstance(error, PermanentError):
        return Result(
            claim=claim,
            outcome=Outcome.PERMANENT_ERROR,
            finished_at=now,
            status=Status.FAILED,
            reason=Reason.PERMANENT,
            retry_step=claim.retry_step,
            error=text,
        )
    if isinstance(error, ChannelError):
        # Nothing is wrong with the message: it uses up no step, and waits until the channel works.
        return Result(
            claim=claim,
            outcome=Outcome.PERMANENT_ERROR,
            finished_at=now,
            status=Status.PENDING,
            due_at=now,
            retry_step=claim.retry_step,
            misconfigured=True,
            error=advise(text, channel),
        )
    limited = isinstance(error, RateLimitedError)
    retry_after = None
    if isinstance(error, TemporaryError) and error.retry_after is not None:
        retry_after = timedelta(seconds=min(max(0.0, error.retry_after), 86_400.0))
    return _again(
        claim,
        channel,
        now,
        outcome=Outcome.RATE_LIMITED if limited else Outcome.TEMPORARY_ERROR,
        error=text,
        spread=spread,
        retry_after=retry_after,
    )


def _again(
    claim: Claim,
    channel: ChannelRoute,
    now: datetime,
    *,
    outcome: Outcome,
    error: str,
    spread: float,
    retry_after: timedelta | None = None,
) -> Result:
    """Put the delivery back for its next attempt, or give it up when the schedule is used up."""
    wait = next_wait(
        channel.retry_schedule, claim.retry_step, spread=spread, retry_after=retry_after
    )
    return Result(
        claim=claim,
        outcome=outcome,
        finished_at=now,
        status=Status.FAILED if wait is None else Status.PENDING,
        reason=Reason.EXHAUSTED if wait is None else None,
        due_at=None if wait is None else now + wait,
        retry_step=claim.retry_step + (wait is not None),
        error=error,
    )


def _timed_out(claim: Claim, channel: ChannelRoute, now: datetime, spread: float) -> Result:
    error = f"The attempt took longer than its deadline of {channel.timeout_seconds:g} s."
    if channel.on_unknown == "hold":
        return Result(
            claim=claim,
            outcome=Outcome.TIMEOUT,
            finished_at=now,
            status=Status.HELD,
            reason=Reason.UNKNOWN_OUTCOME,
            retry_step=claim.retry_step,
            error=error,
        )
    # A step is used up, so that a service which always hangs is not asked for ever.
    return _again(claim, channel, now, outcome=Outcome.TIMEOUT, error=error, spread=spread)


def _abandoned(claim: Claim, channel: ChannelRoute, now: datetime) -> Result:
    # Stopped by the operator, not killed by the plugin: it does not count as a death.
    status, reason = after_unknown(channel.on_unknown, death_count=0)
    return Result(
        claim=claim,
        outcome=Outcome.UNKNOWN,
        finished_at=now,
        status=status,
        reason=reason,
        due_at=now,
        retry_step=claim.retry_step,
        error="The server stopped before this attempt ended; whether it was sent is not known.",
    )


def _receipt(value: object) -> tuple[str | None, str | None]:
    """Read what a plugin returned: the service's reference, and a detail for the log."""
    if value is None:
        return None, None
    if isinstance(value, Receipt):
        return value.reference, value.detail
    if isinstance(value, str):
        return value, None
    return None, f"The plugin returned a {type(value).__name__}; it was not recorded."
