"""What the ledger writes: accepted messages, claims, results; many payloads at once.

Nothing else inserts into ``message`` and ``attempt``; statuses are moved by ``deliveries`` alone,
inside the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from almenara.database import Transaction
from almenara.deliveries import (
    LEASE,
    Claim,
    Plan,
    Result,
    claim_due,
    collapse,
    expire,
    give_back,
    insert,
    rescue,
    settle,
)
from almenara.ledger.attachments import insert_uses
from almenara.ledger.idempotency import Acceptance, Accepted, keep_keys
from almenara.ledger.purge import drop_attempt_texts
from almenara.limits import allow, note, use
from almenara.models import new_id


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A wish to claim what is due: per channel, so many at the most."""

    limits: Sequence[tuple[str, int]]
    now: datetime
    #: By age alone, instead of by urgency.
    oldest_first: bool = False
    #: Only what processes have died on; whoever claims it tries it alone.
    suspects: bool = False
    #: The configuration that the limits were read from; nothing is claimed by an older one.
    revision: int | None = None
    lease: timedelta = LEASE
    #: By channel, the deliveries that a bell named, and nothing else.
    rung: Mapping[str, Sequence[UUID]] | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """What was claimed, and which channels take no more."""

    claims: Sequence[Claim]
    #: Paused or at the end of their rate, and when to ask again; ``None``: when they are changed.
    closed: Mapping[str, datetime | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RescueRequest:
    """A wish to take back what dead processes held."""

    now: datetime
    #: Also rows whose lease still runs; see :func:`almenara.deliveries.rescue`.
    all_of_them: bool = False
    #: Deliveries that are known to be in living hands.
    except_for: frozenset[UUID] = frozenset()


async def accept_messages(transaction: Transaction, plans: Sequence[Plan]) -> Sequence[Accepted]:
    """Insert messages with their deliveries, each idempotency key once.

    Nothing is written for a plan that was made from an older configuration, or whose key stood
    already.
    """
    revision = await _shared_revision(transaction)
    fresh = [plan for plan in plans if plan.revision == revision]
    lost = await keep_keys(transaction, fresh)
    won = [plan for plan in fresh if plan.message.id not in lost]
    await insert_messages(transaction, won)
    await collapse(transaction, won)
    answers = lost | {one.message.id: Accepted(Acceptance.STORED, one.message.id) for one in won}
    return [
        answers.get(plan.message.id, Accepted(Acceptance.STALE, plan.message.id)) for plan in plans
    ]


async def insert_messages(transaction: Transaction, plans: Sequence[Plan]) -> None:
    """Insert messages with their deliveries, one statement per table."""
    await transaction.insert(
        "message",
        {
            "id": "uuid",
            "topic": "text",
            "status": "text",
            "title": "text",
            "description": "text",
            "format": "text",
            "priority": "integer",
            "tags": "jsonb",
            "data": "jsonb",
            "recipients": "jsonb",
            "reference": "text",
            "metadata": "jsonb",
            "attachments": "jsonb",
            "sender": "text",
            "send_at": "timestamptz",
            "expires_at": "timestamptz",
            "collapse_key": "text",
            "redact": "boolean",
            "traceparent": "text",
            "created_at": "timestamptz",
        },
        [_message_row(plan) for plan in plans],
    )
    await insert_uses(transaction, [plan.message for plan in plans])
    await insert(transaction, [delivery for plan in plans for delivery in plan.deliveries])


async def claim(transaction: Transaction, requests: Sequence[ClaimRequest]) -> Sequence[Claimed]:
    """Claim what is due for each request, as far as the channels' limits allow it.

    Nothing for a request that knows an older configuration: so a channel that was disabled or
    deleted receives nothing that is claimed after that is committed, whichever process did it.
    """
    revision = await _shared_revision(transaction)
    return [
        await _claim_one(transaction, request)
        if request.revision in {None, revision}
        else Claimed(())
        for request in requests
    ]


async def _claim_one(transaction: Transaction, request: ClaimRequest) -> Claimed:
    allowance = await allow(transaction, request.limits, now=request.now)
    claims = await claim_due(
        transaction,
        allowance.limits,
        now=request.now,
        oldest_first=request.oldest_first,
        suspects=request.suspects,
        rung=request.rung,
        lease=request.lease,
    )
    closed = await use(transaction, allowance, claims, now=request.now)
    return Claimed(claims, closed)


async def record_results(transaction: Transaction, results: Sequence[Result]) -> Sequence[bool]:
    """Record attempts and move their deliveries; false for a late result, which moved nothing."""
    # The channels' rows before the messages' (see ``limits``).
    await note(transaction, results)
    on_time = await settle(transaction, results)
    await _insert_attempts(transaction, results, on_time)
    late = [one.claim.message_id for one, held in zip(results, on_time, strict=True) if not held]
    # Its message may have been finished, and redacted, in the meantime.
    await drop_attempt_texts(transaction, late)
    return on_time


async def rescue_orphans(
    transaction: Transaction, requests: Sequence[RescueRequest]
) -> Sequence[Sequence[Result]]:
    """Take back what dead processes held, each with an attempt of outcome ``unknown``."""
    answers: list[Sequence[Result]] = []
    for request in requests:
        results = await rescue(
            transaction,
            now=request.now,
            all_of_them=request.all_of_them,
            except_for=request.except_for,
        )
        await _insert_attempts(transaction, results, [True] * len(results))
        answers.append(results)
    return answers


async def expire_stale(transaction: Transaction, moments: Sequence[datetime]) -> Sequence[int]:
    """Fail what waits and whose time is over."""
    count = await expire(transaction, now=max(moments))
    return [count] * len(moments)


async def return_claims(
    transaction: Transaction, claims: Sequence[Sequence[Claim]]
) -> Sequence[None]:
    """Undo claims whose attempts were never begun."""
    await give_back(transaction, [one for many in claims for one in many])
    return [None] * len(claims)


async def _shared_revision(transaction: Transaction) -> int:
    """Read the configuration's revision, which stays so until the transaction ends.

    Another process that changes the configuration waits until this is committed, and so sees the
    deliveries of a channel that it deletes.
    """
    share = "FOR SHARE" if transaction.dialect == "postgres" else ""
    [row] = await transaction.fetch(f"SELECT revision FROM configuration WHERE id = 1 {share}")
    return int(row["revision"])


async def _insert_attempts(
    transaction: Transaction, results: Sequence[Result], on_time: Sequence[bool]
) -> None:
    await transaction.insert(
        "attempt",
        {
            "id": "uuid",
            "delivery_id": "uuid",
            "message_id": "uuid",
            "number": "integer",
            "outcome": "text",
            "error": "text",
            "reference": "text",
            "detail": "text",
            "started_at": "timestamptz",
            "finished_at": "timestamptz",
            "duration_ms": "integer",
            "late": "boolean",
        },
        [
            (
                new_id(),
                result.claim.delivery_id,
                result.claim.message_id,
                result.claim.attempt_number,
                result.outcome.value,
                result.error,
                result.reference,
                result.detail,
                result.claim.started_at,
                result.finished_at,
                _milliseconds(result),
                not in_time,
            )
            for result, in_time in zip(results, on_time, strict=True)
        ],
    )


def _milliseconds(result: Result) -> int:
    """Return how long an attempt took; never negative, whatever the clock did meanwhile."""
    seconds = (result.finished_at - result.claim.started_at).total_seconds()
    return min(max(0, round(seconds * 1000)), 2**31 - 1)


#: Most messages have none of the parts that are JSON: to write them was a fifth of what the writing
#: thread did for a message.
_as_json = json.JSONEncoder().encode


def _message_row(plan: Plan) -> tuple[object, ...]:
    message = plan.message
    return (
        message.id,
        message.topic,
        plan.status.value,
        message.title,
        message.description,
        message.format,
        message.priority,
        _as_json(list(message.tags)) if message.tags else "[]",
        _as_json(dict(message.data)) if message.data else "{}",
        _as_json(list(message.to)) if message.to else "[]",
        message.reference,
        _as_json(dict(message.metadata)) if message.metadata else "{}",
        _as_json([asdict(one) for one in message.attachments]) if message.attachments else None,
        message.sender,
        message.send_at,
        message.expires_at,
        message.collapse_key,
        message.redact,
        message.traceparent,
        message.created_at,
    )
