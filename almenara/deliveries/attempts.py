"""The moves behind an attempt: settled by its result, rescued from a dead process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from almenara.database import Row, Transaction, read_id, read_timestamp
from almenara.deliveries.chains import end_chains, pass_on
from almenara.deliveries.failures import tell_failures
from almenara.deliveries.leases import present
from almenara.deliveries.messages import lock_messages, refresh_messages
from almenara.deliveries.states import (
    ENDED_WITHOUT_SUCCESS,
    Claim,
    Outcome,
    Result,
    Status,
    after_unknown,
    by_id,
)


async def settle(transaction: Transaction, results: Sequence[Result]) -> list[bool]:
    """Move deliveries by the results of their attempts; tell for each whether its claim still held.

    A result whose claim is no longer held moves nothing. Where somebody asked for cancellation
    meanwhile, a delivery that would come back is cancelled instead; success wins.
    """
    message_ids = {result.claim.message_id for result in results}
    await lock_messages(transaction, message_ids)
    held = [False] * len(results)
    for turn in _turns(results):
        moved = await _move(transaction, [results[index] for index in turn])
        ids = {read_id(row["id"]) for row in moved}
        for index in turn:
            held[index] = results[index].claim.delivery_id in ids
        now = max(results[index].finished_at for index in turn)
        await _follow_chains(transaction, moved, now=now)
        errors = {results[index].claim.delivery_id: results[index].error for index in turn}
        await tell_failures(transaction, moved, errors, at=now)
    await refresh_messages(transaction, message_ids)
    return held


async def _follow_chains(transaction: Transaction, moved: Sequence[Row], *, now: datetime) -> None:
    """Let failover chains go on, or end."""
    links = [row for row in moved if row["chained"]]
    sent = {read_id(row["message_id"]) for row in links if row["status"] == Status.SENT}
    await end_chains(transaction, sent, now=now)
    stopped = {
        read_id(row["message_id"]) for row in links if row["status"] in ENDED_WITHOUT_SUCCESS
    }
    await pass_on(transaction, stopped - sent, now=now)


def _turns(results: Sequence[Result]) -> list[list[int]]:
    """Part results so that no delivery is in a part twice: a late one beside the right one."""
    turns: list[list[int]] = []
    counts: Counter[UUID] = Counter()
    for index, result in enumerate(results):
        turn = counts[result.claim.delivery_id]
        counts[result.claim.delivery_id] += 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(index)
    return turns


async def _move(transaction: Transaction, results: Sequence[Result]) -> Sequence[Row]:
    """Move the deliveries whose claims are held, and return where each of them stands now."""
    source, values = transaction.rows(
        {
            "id": "uuid",
            "attempt_number": "integer",
            "token": "uuid",
            "status": "text",
            "reason": "text",
            "due_at": "timestamptz",
            "retry_step": "integer",
            "death_count": "integer",
            "reference": "text",
            "finished_at": "timestamptz",
        },
        [
            (
                result.claim.delivery_id,
                result.claim.attempt_number,
                result.claim.token,
                result.status.value,
                result.reason.value if result.reason else None,
                result.due_at,
                result.retry_step,
                result.death_count,
                result.reference,
                result.finished_at,
            )
            for result in results
        ],
    )
    return await transaction.fetch(
        f"""
        UPDATE delivery SET
            status = CASE
                WHEN v.status IN ('pending', 'held') AND cancel_reason IS NOT NULL THEN 'cancelled'
                WHEN v.status = 'pending' AND expires_at <= v.due_at THEN 'failed'
                ELSE v.status END,
            reason = CASE
                WHEN v.status IN ('pending', 'held') AND cancel_reason IS NOT NULL
                    THEN cancel_reason
                WHEN v.status = 'pending' AND expires_at <= v.due_at THEN 'expired'
                ELSE v.reason END,
            finished_at = CASE
                WHEN v.status IN ('sent', 'failed') OR cancel_reason IS NOT NULL
                    OR (v.status = 'pending' AND expires_at <= v.due_at) THEN v.finished_at END,
            due_at = COALESCE(v.due_at, delivery.due_at),
            retry_step = v.retry_step, death_count = v.death_count, reference = v.reference,
            token = NULL, lease_until = NULL, cancel_reason = NULL
        FROM {source}
        WHERE delivery.id = v.id AND {by_id("delivery.status = 'sending'")}
            AND delivery.attempt_number = v.attempt_number AND delivery.token = v.token
        RETURNING delivery.id, delivery.message_id, delivery.channel, delivery.status,
            delivery.reason, delivery.attempt_number, delivery.chained
        """,
        *values,
    )


async def rescue(
    transaction: Transaction,
    *,
    now: datetime,
    all_of_them: bool,
    except_for: Collection[UUID] = (),
) -> list[Result]:
    """Take back what dead processes held, and return an ``unknown`` result for each.

    Args:
        all_of_them: also rows whose lease still runs: only right where no other process can live,
            which is SQLite under its file lock.
        except_for: deliveries that are known to be in living hands.
    """
    clock = present(transaction, "$2")
    rows = await transaction.fetch(
        f"""
        SELECT delivery.*, channel.on_unknown, message.topic FROM delivery
        JOIN message ON message.id = delivery.message_id
        LEFT JOIN channel ON channel.name = delivery.channel
        WHERE delivery.status = 'sending' AND (delivery.lease_until < {clock} OR $1 = 1)
        ORDER BY delivery.id
        """
        + ("FOR UPDATE OF delivery SKIP LOCKED" if transaction.dialect == "postgres" else ""),
        *((int(all_of_them), now) if clock == "$2" else (int(all_of_them),)),
    )
    results = [_unknown(row, now) for row in rows if read_id(row["id"]) not in except_for]
    if results:
        await settle(transaction, results)
    return results


def _unknown(row: Row, now: datetime) -> Result:
    claim = Claim(
        delivery_id=read_id(row["id"]),
        message_id=read_id(row["message_id"]),
        channel=row["channel"],
        attempt_number=row["attempt_number"],
        retry_step=row["retry_step"],
        token=read_id(row["token"]),
        started_at=read_timestamp(row["started_at"]),
        lease_until=read_timestamp(row["lease_until"]),
    )
    death_count = row["death_count"] + 1
    status, reason = after_unknown(row["on_unknown"], death_count)
    return Result(
        claim=claim,
        outcome=Outcome.UNKNOWN,
        finished_at=now,
        status=status,
        reason=reason,
        due_at=now,
        retry_step=claim.retry_step,
        death_count=death_count,
        error="The process that made this attempt ended; whether it was sent is not known.",
        topic=row["topic"],
    )
