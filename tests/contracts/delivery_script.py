"""One script of moves on one database, and the invariants of its rows after each move.

The numbers of the invariants are those of docs/explanation/delivery-states.md.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

from almenara.database import Row, Transaction, read_id, read_timestamp
from almenara.deliveries import (
    FINAL,
    LEASE,
    TRANSITIONS,
    Claim,
    Plan,
    Reason,
    Status,
    cancel,
    insert,
    refresh_messages,
    release,
    roll_up,
)
from almenara.ledger import (
    Acceptance,
    ClaimRequest,
    RescueRequest,
    accept_messages,
    claim,
    expire_stale,
    record_results,
    rescue_orphans,
    return_claims,
)
from almenara.models import new_id
from almenara.plan import no_slot, plan_delivery
from tests.stored import NOW, a_channel, a_result

CHANNELS = ("team", "mail", "phone")
ENDS = (Status.SENT, Status.FAILED, Status.PENDING, Status.HELD)
#: What both databases must agree on; tokens are random.
_COMPARED = (
    *("status", "reason", "channel", "position", "priority", "attempt_number", "retry_step"),
    *("death_count", "cancel_reason"),
)
_MOMENTS = ("due_at", "started_at", "finished_at", "expires_at")


class Side:
    """What a script has done to one database."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.now = NOW
        #: Every claim there ever was, by delivery and attempt.
        self.claims: dict[tuple[UUID, int], Claim] = {}
        self.rows: dict[UUID, Row] = {}
        self.accepted: dict[UUID, Plan] = {}
        self.keys: dict[str, UUID] = {}
        self.sent: set[tuple[UUID, int]] = set()
        self.unknown_count: Counter[UUID] = Counter()
        #: Every step that was taken.
        self.seen: set[tuple[Status, Status]] = set()

    async def accept(self, plan: Plan) -> Acceptance:
        [answer] = await accept_messages(self.transaction, [plan])
        if answer.acceptance is Acceptance.STORED:
            self.accepted[plan.message.id] = plan
            for one in plan.deliveries:
                if one.claim:
                    self.claims[one.id, 1] = one.claim
            if plan.key:
                self.keys[plan.key.key] = plan.message.id
        elif plan.key:
            assert answer.message_id == self.keys[plan.key.key], "I9"
        return answer.acceptance

    async def claim(self, limits: list[tuple[str, int]], *, oldest: bool, suspects: bool) -> None:
        request = ClaimRequest(limits, self.now, oldest, suspects)
        [answer] = await claim(self.transaction, [request])
        for one in answer.claims:
            assert (one.delivery_id, one.attempt_number) not in self.claims, "I3: claimed twice"
            self.claims[one.delivery_id, one.attempt_number] = one

    async def record(self, number: int, end: Status, *, late: bool, forged: bool) -> None:
        """Record a result by a claim that is held; or by any there ever was, or a forged one."""
        held_now = {
            (one, row["attempt_number"])
            for one, row in self.rows.items()
            if row["status"] == Status.SENDING
        }
        keys = sorted(self.claims if late or not held_now else held_now)
        key = keys[number % len(keys)]
        held = self.claims[key]
        if forged:
            held = dataclasses.replace(held, token=new_id())
        due_at = self.now + timedelta(seconds=10)
        step = held.retry_step + (end is Status.PENDING)
        result = a_result(held, end, at=self.now, due_at=due_at, retry_step=step)
        [on_time] = await record_results(self.transaction, [result])
        assert not (forged and on_time), "a forged token moved a delivery"
        if on_time and end is Status.SENT:
            self.sent.add(key)

    async def give_back(self, number: int) -> None:
        if self.claims:
            key = sorted(self.claims)[number % len(self.claims)]
            await return_claims(self.transaction, [[self.claims[key]]])
            row = (await self._found())[key[0]]
            if row["attempt_number"] < key[1]:
                del self.claims[key]

    async def cancel(self, number: int, by: Any) -> None:
        if self.rows:
            held = (Status.HELD,) if number % 3 else (Status.PENDING, Status.SENDING)
            row = self._pick(number, *held)
            value = row["channel"] if by == "channel" else read_id(row[by])
            await cancel(self.transaction, by=by, value=value, reason=Reason.OPERATOR, now=self.now)

    async def release(self, number: int) -> None:
        if self.rows:
            row = self._pick(number, Status.HELD)
            await release(self.transaction, read_id(row["id"]), now=self.now)

    async def rescue(self, *, all_of_them: bool) -> None:
        if self.transaction.dialect == "postgres":
            # Its leases end by its own clock, which knows nothing of the script's waiting.
            await self.transaction.execute(
                "UPDATE delivery SET lease_until = CASE WHEN started_at + $2::interval < $1"
                " THEN now() - interval '1 second' ELSE now() + interval '1 hour' END"
                " WHERE status = 'sending'",
                self.now,
                LEASE,
            )
        request = RescueRequest(now=self.now, all_of_them=all_of_them)
        [results] = await rescue_orphans(self.transaction, [request])
        self.unknown_count.update(one.claim.delivery_id for one in results)

    async def expire(self) -> None:
        await expire_stale(self.transaction, [self.now])

    async def resend(self, number: int, again: UUID) -> None:
        final = [row for row in newest(self.rows) if row["status"] in FINAL]
        if not final:
            return
        row = final[number % len(final)]
        delivery = plan_delivery(
            read_id(row["message_id"]),
            a_channel(row["channel"]),
            position=row["position"],
            priority=row["priority"],
            due_at=self.now,
            now=self.now,
            new_id=lambda: again,
            take_slot=no_slot,
        )
        delivery = delivery._replace(resend_of=read_id(row["id"]))
        await insert(self.transaction, [delivery])
        await refresh_messages(self.transaction, [delivery.message_id])

    async def look(self, move: str) -> None:
        """Compare what stands there with what stood there before the move."""
        rows = await self._found()
        assert self.rows.keys() <= rows.keys(), "I8: a delivery is gone"
        for one, before in self.rows.items():
            self.seen.add(check_step(move, before, rows[one]))
        attempts = await self.transaction.fetch("SELECT * FROM attempt ORDER BY id")
        for row in rows.values():
            self._check_row(row, [one for one in attempts if one["delivery_id"] == row["id"]])
        await self._check_messages(rows)
        self.rows = rows

    def snapshot(self) -> dict[UUID, tuple[object, ...]]:
        """Return what the other database must show too (I12)."""
        return {
            one: (
                *(row[name] for name in _COMPARED),
                *(row[name] and read_timestamp(row[name]) for name in _MOMENTS),
            )
            for one, row in self.rows.items()
        }

    def _pick(self, number: int, *statuses: Status) -> Row:
        """Pick a delivery, mostly one of these statuses if there is any."""
        ids = sorted(self.rows)
        if number % 5:
            ids = [one for one in ids if self.rows[one]["status"] in statuses] or ids
        return self.rows[ids[number % len(ids)]]

    async def _found(self) -> dict[UUID, Row]:
        rows = await self.transaction.fetch("SELECT * FROM delivery ORDER BY id")
        return {read_id(row["id"]): row for row in rows}

    def _check_row(self, row: Row, attempts: list[Row]) -> None:
        """Each state has the fields and the attempts that belong to it."""
        status = Status(row["status"])
        held = status is Status.SENDING
        ended_badly = status in {Status.HELD, Status.FAILED, Status.CANCELLED}
        assert (row["token"] is not None) == held, "I3"
        assert (row["lease_until"] is not None) == held, "I3"
        assert (row["finished_at"] is not None) == (status in FINAL)
        assert (row["reason"] is not None) == ended_badly, "I4"
        assert row["cancel_reason"] is None or held
        on_time = [one for one in attempts if not one["late"]]
        outcomes = Counter(one["outcome"] for one in on_time)
        assert (status is Status.SENT) == bool(outcomes["sent"]), "I4"
        numbers = [one["number"] for one in on_time]
        assert len(numbers) == len(set(numbers)), "I3: an attempt has two outcomes"
        assert len(numbers) + held == row["attempt_number"], "I7, I11"
        assert outcomes["unknown"] == self.unknown_count[read_id(row["id"])], "I7"

    async def _check_messages(self, rows: dict[UUID, Row]) -> None:
        messages = await self.transaction.fetch("SELECT * FROM message")
        assert {read_id(one["id"]) for one in messages} == self.accepted.keys(), "I1"
        for message in messages:
            plan = self.accepted[read_id(message["id"])]
            of_message = [row for row in rows.values() if row["message_id"] == message["id"]]
            first = {read_id(row["id"]) for row in of_message if not row["resend_of"]}
            assert first == {one.id for one in plan.deliveries}, "I1"
            mine = newest({read_id(row["id"]): row for row in of_message})
            untried = not any(row["attempt_number"] or row["resend_of"] for row in mine)
            expected = roll_up(
                (row["status"] for row in mine),
                scheduled=message["send_at"] is not None and untried,
                chained=any(row["chained"] for row in mine),
            )
            assert message["status"] == expected
            self._check_chain([row for row in of_message if row["chained"]])

    def _check_chain(self, chain: list[Row]) -> None:
        """In a failover chain at most one is being sent, and nothing waits after a success."""
        statuses = Counter(row["status"] for row in chain)
        assert statuses["sending"] <= 1
        if statuses["sent"]:
            assert not statuses["pending"]


def newest(rows: dict[UUID, Row]) -> list[Row]:
    """Return the deliveries that were not sent again, by their ids."""
    resent = {read_id(row["resend_of"]) for row in rows.values() if row["resend_of"]}
    return [rows[one] for one in sorted(rows) if one not in resent]


def check_step(move: str, before: Row, after: Row) -> tuple[Status, Status]:
    """A delivery takes a step that the table has, or none; return the step."""
    old, new = Status(before["status"]), Status(after["status"])
    if old is not new:
        assert new in TRANSITIONS[old], f"{move}: {old} -> {new}"
    if old in FINAL:
        assert after == before, f"I2: {move} changed a final delivery"
    attempts = after["attempt_number"] - before["attempt_number"]
    if move == "claim":
        assert attempts == (new is Status.SENDING and old is not new)
    elif move == "give_back" and old is Status.SENDING and new is not old:
        assert attempts == -1
    else:
        assert attempts == 0, f"I2: {move} changed the number of attempts"
    assert after["retry_step"] >= before["retry_step"]
    return old, new
