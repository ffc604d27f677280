"""Whatever moves follow one another: states change as the table says, messages tell the truth."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from almenara.database import Database, Row, Transaction, open_database, read_id
from almenara.deliveries import (
    FINAL,
    TRANSITIONS,
    Claim,
    Reason,
    Status,
    cancel,
    claim_due,
    give_back,
    insert,
    refresh_messages,
    release,
    roll_up,
)
from almenara.ledger import RescueRequest, insert_messages, record_results, rescue_orphans
from almenara.migrations import migrate
from almenara.models import new_id
from almenara.plan import no_slot, plan_delivery
from tests.serving import make_settings
from tests.stored import NOW, a_channel, a_plan, a_result

CHANNELS = ("team", "mail")
ENDS = (Status.SENT, Status.FAILED, Status.PENDING, Status.HELD)


class UndoneError(Exception):
    """Takes back what an example wrote."""


@dataclass
class Story:
    """One sequence of moves, and what the deliveries were after the move before."""

    transaction: Transaction
    now: datetime = NOW
    claims: list[Claim] = field(default_factory=list)
    rows: dict[UUID, Row] = field(default_factory=dict)
    #: Every step that was taken, in this story and in the others.
    seen: set[tuple[Status, Status]] = field(default_factory=set)

    async def accept(self, number: int) -> None:
        send_at = self.now + timedelta(seconds=30) if number % 3 == 2 else None
        plan = a_plan(*CHANNELS, now=self.now, claimed=number % 2 == 0, send_at=send_at)
        await insert_messages(self.transaction, [plan])
        self.claims += [delivery.claim for delivery in plan.deliveries if delivery.claim]

    async def claim(self, number: int) -> None:
        limits = [(CHANNELS[number % 2], 1 + number % 3)]
        self.claims += await claim_due(self.transaction, limits, now=self.now)

    async def record(self, number: int) -> None:
        """Record a result by one of all claims that there ever were, perhaps of a forged one."""
        if self.claims:
            claim = self.claims[number % len(self.claims)]
            if number % 7 == 0:
                claim = dataclasses.replace(claim, token=new_id())
            result = a_result(claim, ENDS[number % len(ENDS)], at=self.now)
            await record_results(self.transaction, [result])

    async def give_back(self, number: int) -> None:
        if self.claims:
            await give_back(self.transaction, [self.claims[number % len(self.claims)]])

    async def cancel(self, number: int) -> None:
        if self.rows:
            row = self.pick(number)
            by: Any = ("id", "message_id", "channel")[number % 3]
            value = row["channel"] if by == "channel" else read_id(row[by])
            await cancel(self.transaction, by=by, value=value, reason=Reason.OPERATOR, now=self.now)

    async def release(self, number: int) -> None:
        if self.rows:
            await release(self.transaction, read_id(self.pick(number)["id"]), now=self.now)

    async def rescue(self, number: int) -> None:
        request = RescueRequest(now=self.now, all_of_them=number % 2 == 0)
        await rescue_orphans(self.transaction, [request])

    async def resend(self, number: int) -> None:
        final = [row for row in newest(self.rows.values()) if row["status"] in FINAL]
        if final:
            row = final[number % len(final)]
            again = plan_delivery(
                read_id(row["message_id"]),
                a_channel(row["channel"]),
                position=row["position"],
                priority=row["priority"],
                due_at=self.now,
                now=self.now,
                new_id=new_id,
                take_slot=no_slot,
                resend_of=read_id(row["id"]),
            )
            await insert(self.transaction, [again])
            await refresh_messages(self.transaction, [again.message_id])

    async def wait(self, number: int) -> None:
        self.now += timedelta(seconds=number)

    def pick(self, number: int) -> Row:
        return list(self.rows.values())[number % len(self.rows)]

    async def look(self, move: str) -> None:
        """Compare what stands there with what stood there before the move."""
        found = await self.transaction.fetch("SELECT * FROM delivery ORDER BY id")
        rows = {read_id(row["id"]): row for row in found}
        assert self.rows.keys() <= rows.keys()
        for one, before in self.rows.items():
            self.seen.add(check_step(move, before, rows[one]))
        for row in found:
            check_row(row)
        await self.check_messages(found)
        self.rows = rows

    async def check_messages(self, rows: list[Row]) -> None:
        for message in await self.transaction.fetch("SELECT * FROM message"):
            mine = [row for row in newest(rows) if row["message_id"] == message["id"]]
            untried = not any(row["attempt_number"] or row["resend_of"] for row in mine)
            scheduled = message["send_at"] is not None and untried
            expected = roll_up((row["status"] for row in mine), scheduled=scheduled)
            assert message["status"] == expected


def newest(rows: Any) -> list[Row]:
    rows = list(rows)
    resent = {row["resend_of"] for row in rows}
    return [row for row in rows if row["id"] not in resent]


def check_step(move: str, before: Row, after: Row) -> tuple[Status, Status]:
    """A delivery takes a step that the table has, or none; return the step."""
    old, new = Status(before["status"]), Status(after["status"])
    if old is not new:
        assert new in TRANSITIONS[old], f"{move}: {old} -> {new}"
    if old in FINAL:
        assert after == before, f"{move} changed a final delivery"
    attempts = after["attempt_number"] - before["attempt_number"]
    if move == "claim":
        assert attempts == (new is not old)
    elif move == "give_back" and old is Status.SENDING and new is not old:
        assert attempts == -1
    else:
        assert attempts == 0
    assert after["retry_step"] >= before["retry_step"]
    return old, new


def check_row(row: Row) -> None:
    """Each state has the fields that belong to it."""
    status = Status(row["status"])
    assert (row["token"] is not None) == (status is Status.SENDING)
    assert (row["lease_until"] is not None) == (status is Status.SENDING)
    assert (row["finished_at"] is not None) == (status in FINAL)
    assert (row["reason"] is not None) == (status in {Status.HELD, Status.FAILED, Status.CANCELLED})
    assert row["cancel_reason"] is None or status is Status.SENDING


MOVES: dict[str, Callable[[Story, int], Awaitable[None]]] = {
    "accept": Story.accept,
    "claim": Story.claim,
    "record": Story.record,
    "give_back": Story.give_back,
    "cancel": Story.cancel,
    "release": Story.release,
    "rescue": Story.rescue,
    "resend": Story.resend,
    "wait": Story.wait,
}


async def follow(
    database: Database, moves: list[tuple[str, int]], seen: set[tuple[Status, Status]]
) -> None:
    async with database.transaction() as transaction:
        story = Story(transaction, seen=seen)
        for move, number in [("accept", 0), *moves]:
            await MOVES[move](story, number)
            await story.look(move)
        raise UndoneError


def test_no_sequence_of_moves_leaves_the_table_of_states(tmp_path: Path) -> None:
    seen: set[tuple[Status, Status]] = set()
    with asyncio.Runner() as runner:
        database = runner.run(open_database(make_settings(tmp_path)))

        @settings(max_examples=400, deadline=None, derandomize=True, database=None)
        @given(
            st.lists(
                st.tuples(st.sampled_from(sorted(MOVES)), st.integers(0, 99)),
                min_size=5,
                max_size=25,
            )
        )
        def check(moves: list[tuple[str, int]]) -> None:
            with contextlib.suppress(UndoneError):
                runner.run(follow(database, moves, seen))

        try:
            runner.run(migrate(database))
            check()
        finally:
            runner.run(database.close())
    # Expiry, the one step that is missing, has no move yet.
    every_step = {(old, new) for old, ends in TRANSITIONS.items() for new in ends}
    stays = {(status, status) for status in Status}
    assert seen - stays == every_step - {(Status.PENDING, Status.FAILED)}
