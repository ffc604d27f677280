"""Tells what happened to a message from its rows; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from almenara.models import Attempt, Delivery, Message
from almenara.timeline.entry import Entry, Kind
from almenara.timeline.words import (
    ATTEMPT_FAILED,
    CANCELLED,
    FAILED,
    HELD,
    duration,
    listed,
    moment,
    sentence,
)

_FINISHED = frozenset({"sent", "partial", "failed", "cancelled"})


def tell(
    message: Message, deliveries: Sequence[Delivery], attempts: Mapping[UUID, Sequence[Attempt]]
) -> list[Entry]:
    """Tell what happened to a message, the oldest first.

    Args:
        attempts: those of each delivery, by its id, the oldest first.
    """
    entries = [*_of_message(message, deliveries)]
    for delivery in deliveries:
        entries += _of_delivery(message, delivery, deliveries, attempts)
    entries += _end(message, deliveries)
    # Stable: what happened at the same moment stays in the order of its telling.
    return sorted(entries, key=lambda entry: entry.at)


def _of_message(message: Message, deliveries: Sequence[Delivery]) -> Iterator[Entry]:
    at = message.created_at
    first = [one for one in deliveries if _is_first(one, message)]
    where = f" on the topic {message.topic}" if message.topic else ""
    chained = any(one.chained for one in first)
    names = (", then ".join if chained else listed)([one.channel for one in first])
    until = f" Not to be sent after {moment(message.expires_at)}." if message.expires_at else ""
    told = f"Accepted{where}{f', for {names}' if names else ''}.{until}"
    yield Entry(at, Kind.ACCEPTED, told)
    if not first:
        yield Entry(at, Kind.NO_ROUTE, "No enabled channel of its topic took it: nobody gets it.")
    elif message.send_at:
        yield Entry(at, Kind.SCHEDULED, f"Not to be sent before {moment(message.send_at)}.")


def _of_delivery(
    message: Message,
    delivery: Delivery,
    deliveries: Sequence[Delivery],
    attempts: Mapping[UUID, Sequence[Attempt]],
) -> Iterator[Entry]:
    tried = attempts.get(delivery.id, ())
    if not _is_first(delivery, message):
        yield _born_later(delivery, deliveries)
    before = _before(delivery, deliveries)
    if before is not None:
        yield from _chain_moved(delivery, tried, before, attempts.get(before.id, ()))
    begun: set[int] = set()
    for attempt in tried:
        if attempt.number not in begun:
            begun.add(attempt.number)
            yield _began(delivery, attempt.started_at, attempt.number)
        yield _ended(delivery, attempt)
    yield from _stands(delivery, tried, chained=before is not None)


def _born_later(delivery: Delivery, deliveries: Iterable[Delivery]) -> Entry:
    """Tell why a delivery was made after its message was accepted."""
    if delivery.resend_of is None:
        told = f"Routed anew, to {delivery.channel}."
        return _entry(delivery, delivery.created_at, Kind.ROUTED, told)
    old = next((one for one in deliveries if one.id == delivery.resend_of), None)
    was = f", which was {_status(old)}" if old else ""
    by = f" by the replay {delivery.replay_id}" if delivery.replay_id else ""
    told = f"Sent again{by}, in the place of {delivery.resend_of}{was}."
    return _entry(delivery, delivery.created_at, Kind.RESENT, told)


def _before(delivery: Delivery, deliveries: Sequence[Delivery]) -> Delivery | None:
    """Return the one before in a failover chain; a chain that was sent again is a new one."""
    if not delivery.chained:
        return None
    by_id = {one.id: one for one in deliveries}
    times = _times_resent(delivery, by_id)
    earlier = [
        one
        for one in deliveries
        if one.chained and one.position < delivery.position and _times_resent(one, by_id) == times
    ]
    return max(earlier, key=lambda one: one.position, default=None)


def _times_resent(delivery: Delivery, by_id: Mapping[UUID, Delivery]) -> int:
    older = by_id.get(delivery.resend_of) if delivery.resend_of else None
    return 0 if older is None else 1 + _times_resent(older, by_id)


def _chain_moved(
    delivery: Delivery,
    tried: Sequence[Attempt],
    before: Delivery,
    tried_before: Sequence[Attempt],
) -> Iterator[Entry]:
    """Tell why a chain came to this delivery, if it did."""
    begun = tried[0].started_at if tried else delivery.started_at
    why = {
        "failed": f"{before.channel} has failed",
        "held": f"{before.channel} is held",
        "cancelled": f"{before.channel} was cancelled",
    }.get(before.status)
    if before.reason == "superseded":
        why = f"{before.channel} had not sent it by the deadline of its step"
    ended = before.finished_at or (tried_before[-1].finished_at if tried_before else None)
    if begun is not None and ended is not None and ended > begun:
        # It was held when the chain moved on, and came to its end only after its release.
        why = None
    at = begun if why is None else ended or begun
    # What ended together, or in another order, moved nothing on.
    together = begun is None and at and delivery.finished_at and at >= delivery.finished_at
    if at is not None and before.status != "sent" and not together:
        told = f"{why or f'{before.channel} has not sent it'}, so {delivery.channel} has its turn."
        yield _entry(delivery, at, Kind.CHAIN_MOVED, told)


def _began(delivery: Delivery, at: datetime, number: int) -> Entry:
    return _entry(delivery, at, Kind.ATTEMPT_BEGAN, f"Attempt {number} began.", number)


def _ended(delivery: Delivery, attempt: Attempt) -> Entry:
    name = f"Attempt {attempt.number}"
    said = "; ".join(_said(attempt))
    if attempt.late:
        ending = f": {said}" if said else "."
        told = f"{name} ended late, as {attempt.outcome}; the delivery had moved on{ending}"
        kind = Kind.LATE_RESULT
    elif attempt.outcome == "sent":
        told = f"{name} sent it after {duration(attempt.duration_ms)}{f': {said}' if said else ''}"
        kind = Kind.SENT
    elif attempt.outcome == "unknown":
        told = f"{name} has no known outcome, perhaps it was sent{f': {said}' if said else ''}"
        kind = Kind.ATTEMPT_UNKNOWN
    else:
        how = ATTEMPT_FAILED.get(attempt.outcome, f"ended as {attempt.outcome}")
        told = f"{name} {how} after {duration(attempt.duration_ms)}{f': {said}' if said else ''}"
        kind = Kind.ATTEMPT_FAILED
    return _entry(delivery, attempt.finished_at, kind, sentence(told), attempt.number)


def _said(attempt: Attempt) -> Iterator[str]:
    for text in (attempt.error, attempt.detail):
        if text:
            yield text
    if attempt.reference:
        yield f"reference {attempt.reference}"


def _stands(delivery: Delivery, tried: Sequence[Attempt], *, chained: bool) -> Iterator[Entry]:
    """Tell where a delivery stands, as far as its attempts have not told it.

    Args:
        chained: another one stands before it in a failover chain.
    """
    on_time = [one for one in tried if not one.late]
    since = max([delivery.created_at, *(one.finished_at for one in on_time)])
    if delivery.status == "pending":
        yield from _waits(delivery, on_time, since, chained=chained)
    elif delivery.status == "sending" and delivery.started_at:
        yield _began(delivery, delivery.started_at, delivery.attempt_number)
    elif delivery.status == "held":
        told = f"Held: {_why(HELD, delivery)}. Release it to try again, or cancel it."
        yield _entry(delivery, since, Kind.HELD, told)
    elif delivery.status == "failed":
        told = f"Failed: {_why(FAILED, delivery)}."
        yield _entry(delivery, delivery.finished_at or since, Kind.FAILED, told)
    elif delivery.status == "cancelled":
        told = f"Cancelled: {_why(CANCELLED, delivery)}."
        yield _entry(delivery, delivery.finished_at or since, Kind.CANCELLED, told)


def _waits(
    delivery: Delivery, on_time: Sequence[Attempt], since: datetime, *, chained: bool
) -> Iterator[Entry]:
    # After an unknown outcome a delivery is due at once, unless it was held: only a release
    # makes it due at a later moment.
    unknown = bool(on_time) and on_time[-1].outcome == "unknown"
    if unknown and delivery.due_at > since:
        yield _entry(delivery, delivery.due_at, Kind.RELEASED, "Released: it is due again.")
        since = delivery.due_at
    number = delivery.attempt_number + 1
    if chained and number == 1:
        told = f"Waits for its turn in the chain, at {moment(delivery.due_at)} at the latest."
    else:
        told = f"Waits for attempt {number}, due at {moment(delivery.due_at)}."
    yield _entry(delivery, since, Kind.WAITING, told)


def _end(message: Message, deliveries: Sequence[Delivery]) -> Iterator[Entry]:
    if message.redacted_at:
        yield Entry(message.redacted_at, Kind.REDACTED, "The message's texts were dropped.")
    replaced = {one.resend_of for one in deliveries}
    counting = [one for one in deliveries if one.id not in replaced]
    ends = [one.finished_at for one in counting if one.finished_at]
    if message.status not in _FINISHED or not ends:
        return
    sent = [one.channel for one in counting if one.status == "sent"]
    lost = [one.channel for one in counting if one.status == "failed"]
    told = f"sent by {listed(sent)}" if sent else "sent by no channel"
    if sent and lost:
        told += f", not by {listed(lost)}"
    yield Entry(max(ends), Kind.FINISHED, f"Finished: {told}.")


def _entry(
    delivery: Delivery, at: datetime, event: Kind, text: str, number: int | None = None
) -> Entry:
    return Entry(at, event, text, delivery.id, delivery.channel, number)


def _is_first(delivery: Delivery, message: Message) -> bool:
    """Tell whether a delivery was made when its message was accepted."""
    return delivery.resend_of is None and delivery.created_at == message.created_at


def _status(delivery: Delivery) -> str:
    return f"{delivery.status} ({delivery.reason})" if delivery.reason else delivery.status


def _why(reasons: Mapping[str, str], delivery: Delivery) -> str:
    return reasons.get(delivery.reason or "", delivery.reason or "the reason is not known")
