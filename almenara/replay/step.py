"""One step of a replay: the next deliveries and how far it has come, in one transaction.

Killed before the commit nothing was made, killed after it the replay goes on behind them. What
matches is looked for before, on the reading connection, so that a long walk keeps nobody waiting;
the transaction then takes it only if nobody else has moved the replay on meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from almenara.database import Database, Row, Transaction, read_id
from almenara.deliveries import NewDelivery, Status
from almenara.errors import ConflictError
from almenara.ledger import Ledger
from almenara.models import Replay
from almenara.replay.pace import read_rate
from almenara.replay.selection import Selection
from almenara.resend import chain_of, insert_again, plan_again, read_newest


@dataclass(frozen=True, slots=True)
class Step:
    """What a step came to."""

    #: The channels that have something new.
    channels: Collection[str]
    #: Whether it was the last one: the replay is done.
    last: bool
    #: When the next one may be made.
    due_at: datetime


async def make_step(
    database: Database, ledger: Ledger, replay: Replay, *, clock: Callable[[], datetime]
) -> Step | None:
    """Send the next deliveries again; ``None``: another process was faster, or it was cancelled."""
    pace = read_rate(replay.rate)
    sql, values = Selection.from_json(replay.filters).page(
        after=replay.cursor,
        before=replay.until_id,
        replay_id=replay.id,
        # One more than is taken tells whether it is the last step.
        limit=pace.step_count + 1,
    )
    found = await database.fetch(sql, *values)
    rows, last = found[: pace.step_count], len(found) <= pace.step_count

    async def work(transaction: Transaction) -> Step | None:
        if not await _is_still_there(transaction, replay):
            return None
        now = clock()
        deliveries = await _send_again(transaction, rows, replay, now=now)
        step = Step({one.channel for one in deliveries}, last, now + pace.pause)
        await _move_on(transaction, replay, step, rows, deliveries, now=now)
        return step

    return await ledger.run(work)


async def _is_still_there(transaction: Transaction, replay: Replay) -> bool:
    """Lock a replay, if it runs and stands where it was read; one that another holds is left."""
    skip = "FOR UPDATE SKIP LOCKED" if transaction.dialect == "postgres" else ""
    rows = await transaction.fetch(
        f"SELECT cursor FROM replay WHERE id = $1 AND status = 'running' {skip}", replay.id
    )
    return bool(rows) and _id_or_none(rows[0]["cursor"]) == replay.cursor


async def _send_again(
    transaction: Transaction, rows: Sequence[Row], replay: Replay, *, now: datetime
) -> Sequence[NewDelivery]:
    """Make new deliveries for those that nobody has sent again meanwhile, and that still can be."""
    wanted = {read_id(row["id"]) for row in rows}
    of_message: dict[UUID, list[Row]] = {}
    for row in await read_newest(transaction, {read_id(row["message_id"]) for row in rows}):
        of_message.setdefault(read_id(row["message_id"]), []).append(row)
    deliveries: list[NewDelivery] = []
    for newest in of_message.values():
        chosen = [row for row in newest if read_id(row["id"]) in wanted]
        single = [[row] for row in chosen if not row["chained"]]
        chain: Sequence[Row] = ()
        if len(single) < len(chosen):
            # A failover chain is sent again as one, unless it has sent the message or still may.
            sent_too = any(row["status"] == Status.SENT for row in chosen)
            chain = chain_of(newest, sent_too=sent_too)
        for again in (*single, chain):
            with suppress(ConflictError):
                deliveries += plan_again(
                    again, now=now, chained=again is chain, replay_id=replay.id
                )
    await insert_again(transaction, deliveries)
    return deliveries


async def _move_on(
    transaction: Transaction,
    replay: Replay,
    step: Step,
    rows: Sequence[Row],
    deliveries: Sequence[NewDelivery],
    *,
    now: datetime,
) -> None:
    """Store how far it has come."""
    resent = {one.resend_of for one in deliveries}
    skipped_count = sum(read_id(row["id"]) not in resent for row in rows)
    cursor = read_id(rows[-1]["id"]) if rows else replay.cursor
    await transaction.execute(
        """
        UPDATE replay SET cursor = $2, due_at = $3, resent_count = resent_count + $4,
            skipped_count = skipped_count + $5, status = $6, finished_at = $7
        WHERE id = $1
        """,
        *(replay.id, cursor, step.due_at, len(deliveries), skipped_count),
        *("done" if step.last else "running", now if step.last else None),
    )


def _id_or_none(value: object) -> UUID | None:
    return None if value is None else read_id(value)
