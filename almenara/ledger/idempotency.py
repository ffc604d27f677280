"""Idempotency keys: stored in the transaction that accepts, never in a cache.

The keys of a batch go first. A key that stands already, or that another process is about to commit,
loses; only the winner's message is inserted. A key lives as long as its message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from almenara.database import Transaction, read_id
from almenara.deliveries import Plan


class Acceptance(Enum):
    """What became of a plan that was to be written."""

    #: The message and its deliveries are stored.
    STORED = "stored"
    #: The configuration moved on since it was planned, or the first message of its key was purged
    #: just now; nothing was written.
    STALE = "stale"
    #: The key came with an equal message before; nothing was written.
    DUPLICATE = "duplicate"
    #: The key came with another message before; nothing was written.
    KEY_REUSED = "key_reused"


class Accepted(NamedTuple):
    """What became of a plan, and the message that answers it."""

    acceptance: Acceptance
    #: The stored message: the plan's own, or the one that had the key first.
    message_id: UUID


def stored_topics(payloads: Iterable[Any], answers: Iterable[object]) -> list[str | None]:
    """Return the topics of the messages that were stored, among the answers to a whole batch.

    Args:
        payloads: what was answered, in the same order.
    """
    return [
        payload.message.topic
        for payload, one in zip(payloads, answers, strict=True)
        if type(one) is Accepted and one.acceptance is Acceptance.STORED
    ]


async def keep_keys(transaction: Transaction, plans: Sequence[Plan]) -> dict[UUID, Accepted]:
    """Insert the keys of plans; return what became of the plans whose key stood already."""
    keyed = [plan for plan in plans if plan.key is not None]
    if not keyed:
        return {}
    rows = [
        (plan.message.id, *_names(plan), plan.key.fingerprint, plan.message.created_at)
        for plan in keyed
        if plan.key is not None
    ]
    inserted = await transaction.insert_new(
        "idempotency_key",
        {
            "message_id": "uuid",
            "sender": "text",
            "key": "text",
            "fingerprint": "text",
            "created_at": "timestamptz",
        },
        rows,
        unique="sender, key",
    )
    return {} if inserted == len(rows) else await _losers(transaction, keyed)


async def _losers(transaction: Transaction, plans: Sequence[Plan]) -> dict[UUID, Accepted]:
    """Find the first messages of keys; what became of the plans that are not among them."""
    source, values = transaction.rows(
        {"sender": "text", "key": "text"}, [_names(plan) for plan in plans]
    )
    rows = await transaction.fetch(
        f"""
        SELECT stored.sender, stored.key, stored.fingerprint, stored.message_id
        FROM idempotency_key AS stored JOIN {source}
            ON stored.sender = v.sender AND stored.key = v.key
        """,
        *values,
    )
    first = {(row["sender"], row["key"]): row for row in rows}
    answers: dict[UUID, Accepted] = {}
    for plan in plans:
        assert plan.key is not None  # noqa: S101 - only keyed plans come here
        row = first.get(_names(plan))
        if row is None:
            # Another process purged the first message since the key was found.
            answers[plan.message.id] = Accepted(Acceptance.STALE, plan.message.id)
            continue
        first_id = read_id(row["message_id"])
        if first_id == plan.message.id:
            continue
        same = row["fingerprint"] == plan.key.fingerprint
        acceptance = Acceptance.DUPLICATE if same else Acceptance.KEY_REUSED
        answers[plan.message.id] = Accepted(acceptance, first_id)
    return answers


def _names(plan: Plan) -> tuple[str, str]:
    """Return the columns under which a key is unique."""
    assert plan.key is not None  # noqa: S101 - only keyed plans come here
    return plan.key.sender, plan.key.key
