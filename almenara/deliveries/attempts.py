"""The moves around an attempt: claimed, settled by its result, rescued from a dead process."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from almenara.database import Row, Transaction, read_id, read_timestamp
from almenara.deliveries.chains import HAS_ITS_TURN, end_chains, pass_on, supersede
from almenara.deliveries.failures import tell_failures
from almenara.deliveries.leases import lease_end, present
from almenara.deliveries.messages import lock_messages, refresh_messages
from almenara.deliveries.states import (
    DEATHS_IN_COMPANY,
    ENDED_WITHOUT_SUCCESS,
    LEASE,
    Claim,
    Outcome,
    Result,
    Status,
    after_unknown,
)
from almenara.models import new_id

#: For a WHERE on ``delivery``: it may be claimed beside others at ``$2``.
_CLAIMABLE = f"""
    status = 'pending' AND channel = $1 AND due_at <= $2 AND death_count < {DEATHS_IN_COMPANY}
    AND (expires_at IS NULL OR expires_at > $2) AND {HAS_ITS_TURN}
"""

#: What is due of one channel, by urgency: one look into the partial index.
_MOST_URGENT = f"SELECT id FROM delivery WHERE {_CLAIMABLE} ORDER BY priority, due_at LIMIT $3"

#: The same by age alone: the oldest of each priority, each found in the index, and of these the
#: oldest.
_OLDEST = (
    "SELECT id FROM delivery WHERE status = 'pending' AND id IN (SELECT id FROM ("
    + " UNION ALL ".join(
        f"""
        SELECT * FROM (
            SELECT id, due_at FROM delivery WHERE priority = {priority} AND {_CLAIMABLE}
            ORDER BY due_at LIMIT $3) AS of_priority_{priority}
        """
        for priority in range(1, 6)
    )
    + ") AS heads ORDER BY due_at, id LIMIT $3)"
)

#: What processes have died on, the oldest of one channel.
_SUSPECT = f"""
    SELECT id FROM delivery
    WHERE status = 'pending' AND channel = $1 AND due_at <= $2
        AND death_count >= {DEATHS_IN_COMPANY} AND {HAS_ITS_TURN}
    ORDER BY due_at LIMIT $3
"""


async def claim_due(
    transaction: Transaction,
    limits: Sequence[tuple[str, int]],
    *,
    now: datetime,
    oldest_first: bool = False,
    suspects: bool = False,
    lease: timedelta = LEASE,
) -> list[Claim]:
    """Claim what is due, up to each channel's limit, the most urgent and oldest first.

    What another process is claiming at the same moment is passed over. The claim is committed
    before anything is sent, so a full disk stops sends instead of repeating them. In a failover
    chain, what waits before a delivery whose deadline has come is cancelled first.

    Args:
        oldest_first: by age alone, so that what is not urgent has its turn too.
        suspects: what processes have died on, and nothing else; whoever claims it tries it alone.
    """
    picked = _SUSPECT if suspects else _OLDEST if oldest_first else _MOST_URGENT
    await supersede(transaction, limits, now=now)
    token = new_id()
    skip = "FOR UPDATE SKIP LOCKED" if transaction.dialect == "postgres" else ""
    claims: list[Claim] = []
    for channel, limit in limits:
        claimed_at = time.monotonic()
        rows = await transaction.fetch(
            f"""
            WITH due AS MATERIALIZED ({picked} {skip})
            UPDATE delivery SET status = 'sending', attempt_number = attempt_number + 1,
                token = $4, started_at = $5,
                lease_until = {lease_end(transaction, "$5", "$6")}
            FROM due WHERE delivery.id = due.id
            RETURNING delivery.id, delivery.message_id, delivery.attempt_number,
                delivery.retry_step, delivery.lease_until
            """,
            *(channel, now, limit, token, now, now + lease),
        )
        claims += [
            Claim(
                delivery_id=read_id(row["id"]),
                message_id=read_id(row["message_id"]),
                channel=channel,
                attempt_number=row["attempt_number"],
                retry_step=row["retry_step"],
                token=token,
                started_at=now,
                lease_until=read_timestamp(row["lease_until"]),
                claimed_at=claimed_at,
            )
            for row in rows
        ]
    await refresh_messages(transaction, {claim.message_id for claim in claims})
    return claims


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
        WHERE delivery.id = v.id AND delivery.status = 'sending'
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
        SELECT delivery.*, channel.on_unknown FROM delivery
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
    )
