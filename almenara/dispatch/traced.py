"""The span of one attempt: what is told of it, which is ids, names and how it ended."""

from __future__ import annotations

from contextlib import AbstractContextManager

from almenara.deliveries import Claim, NewMessage, Outcome, Result
from almenara.routing import ChannelRoute
from almenara.tracing import Span, Spans


def attempting(
    spans: Spans, claim: Claim, message: NewMessage, channel: ChannelRoute | None
) -> AbstractContextManager[Span]:
    """Begin the span of an attempt, in the trace of its message.

    Args:
        channel: ``None``: it was deleted.
    """
    attributes: dict[str, str | int] = {
        "almenara.message.id": str(claim.message_id),
        "almenara.delivery.id": str(claim.delivery_id),
        "almenara.channel": claim.channel,
        "almenara.attempt.number": claim.attempt_number,
    }
    if channel is not None:
        attributes["almenara.plugin"] = channel.plugin
    return spans.begin("attempt", message.traceparent, attributes)


def tell_result(span: Span, result: Result | None) -> None:
    """Say how an attempt ended; never what a plugin said, which may hold anything.

    Args:
        result: ``None``: it was not made, as its claim had grown too old.
    """
    if result is None:
        span.tell({"almenara.outcome": "given_back"})
        return
    attributes = {"almenara.outcome": result.outcome.value}
    failed = result.outcome is not Outcome.SENT
    if failed:
        attributes["error.type"] = result.outcome.value
    if result.reason is not None:
        attributes["almenara.reason"] = result.reason.value
    span.tell(attributes, failed=failed)
