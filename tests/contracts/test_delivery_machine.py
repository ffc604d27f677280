"""A state machine of Hypothesis over the moves of deliveries: whatever follows whatever.

Each script runs on SQLite and, where it answers, on PostgreSQL: after each move both must show the
same rows, and every invariant of docs/explanation/delivery-states.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from tortoise import context as tortoise_context

from almenara.database import Database, open_database
from almenara.deliveries import TRANSITIONS, Key, NewMessage, Status
from almenara.ledger import Acceptance
from almenara.models import new_id
from almenara.plan import no_slot, plan_message
from tests.contracts.delivery_script import CHANNELS, ENDS, Side
from tests.serving import make_settings
from tests.stored import a_channel
from tests.tables import make_tables

NUMBERS = st.integers(0, 99)
SECONDS = st.none() | st.integers(1, 90)


#: What operators, time and dead processes do: the move's name, and how it is made.
OTHER_MOVES: dict[str, tuple[str, Callable[[Side, int, UUID], Any]]] = {
    "cancel one": ("cancel", lambda side, number, _: side.cancel(number, "id")),
    "cancel a message": ("cancel", lambda side, number, _: side.cancel(number, "message_id")),
    "cancel a channel": ("cancel", lambda side, number, _: side.cancel(number, "channel")),
    "release": ("release", lambda side, number, _: side.release(number)),
    "give back": ("give_back", lambda side, number, _: side.give_back(number)),
    "expire": ("expire", lambda side, _number, _: side.expire()),
    "resend": ("resend", lambda side, number, again: side.resend(number, again)),
    "rescue orphans": ("rescue", lambda side, _number, _: side.rescue(all_of_them=False)),
    "rescue all": ("rescue", lambda side, _number, _: side.rescue(all_of_them=True)),
}


class UndoneError(Exception):
    """Takes back what a script wrote."""


class Deliveries(RuleBasedStateMachine):
    """The moves, each on every database."""

    databases: ClassVar[list[Database]] = []
    runner: ClassVar[asyncio.Runner]
    #: Every step that any script has taken.
    steps: ClassVar[set[tuple[Status, Status]]] = set()

    def __init__(self) -> None:
        super().__init__()
        self._stack = AsyncExitStack()
        self.sides: list[Side] = []
        for database in self.databases:
            transaction = self._run(self._stack.enter_async_context(database.transaction()))
            self.sides.append(Side(transaction))

    def _run(self, work: Any) -> Any:
        return self.runner.run(work)

    def _each(self, move: str, act: Callable[[Side], Any]) -> list[Any]:
        async def both() -> list[Any]:
            answers = []
            for side in self.sides:
                answers.append(await act(side))
                await side.look(move)
            return answers

        answers = self._run(both())
        first, *others = self.sides
        for other in others:
            assert other.snapshot() == first.snapshot(), f"I12: {move}"
        return answers

    @rule(
        channels=st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3, unique=True),
        claimed=st.booleans(),
        failover=st.booleans(),
        key=st.none() | st.sampled_from(["a", "b"]),
        collapse_key=st.none() | st.just("c"),
        priority=st.sampled_from([1, 3, 5]),
        send_in=SECONDS,
        expires_in=SECONDS,
    )
    def accept(self, channels: list[str], **fields: Any) -> None:
        claimed, failover = fields["claimed"], fields["failover"]
        now = self.sides[0].now
        send_at = now + timedelta(seconds=fields["send_in"]) if fields["send_in"] else None
        expires_at = None
        if fields["expires_in"]:
            expires_at = (send_at or now) + timedelta(seconds=fields["expires_in"])
        message = NewMessage(
            id=new_id(),
            topic="sales",
            description="A word.",
            created_at=now,
            priority=fields["priority"],
            collapse_key=fields["collapse_key"],
            send_at=send_at,
            expires_at=expires_at,
        )
        key = fields["key"]
        plan = plan_message(
            message,
            [a_channel(name) for name in channels],
            revision=1,
            now=now,
            new_id=new_id,
            take_slot=(lambda _: True) if claimed else no_slot,
            key=Key("someone", key, "the same") if key else None,
            step_deadline=timedelta(seconds=30) if failover else None,
        )
        known = key is not None and key in self.sides[0].keys
        answers = self._each("accept", lambda side: side.accept(plan))
        assert set(answers) == {Acceptance.DUPLICATE if known else Acceptance.STORED}

    @rule(count=st.integers(1, 3), order=st.sampled_from(["urgent", "oldest", "suspects"]))
    def claim(self, count: int, order: str) -> None:
        limits = [(channel, count) for channel in CHANNELS]
        oldest, suspects = order == "oldest", order == "suspects"
        self._each("claim", lambda side: side.claim(limits, oldest=oldest, suspects=suspects))

    @precondition(lambda self: self.sides[0].claims)
    @rule(number=NUMBERS, end=st.sampled_from(ENDS), odd=st.integers(0, 9))
    def record(self, number: int, end: Status, odd: int) -> None:
        self._each("record", lambda side: side.record(number, end, late=odd < 3, forged=odd == 0))

    # One rule for all of these: Hypothesis leaves whole rules out of a script, which would keep
    # most scripts from ever having something to release.
    @rule(move=st.sampled_from(sorted(OTHER_MOVES)), number=NUMBERS)
    def move(self, move: str, number: int) -> None:
        again = new_id()
        name, act = OTHER_MOVES[move]
        self._each(name, lambda side: act(side, number, again))

    @rule(seconds=st.integers(1, 60))
    def wait(self, seconds: int) -> None:
        for side in self.sides:
            side.now += timedelta(seconds=seconds)

    def teardown(self) -> None:
        for side in self.sides:
            self.steps.update(side.seen)

        async def undo() -> None:
            with contextlib.suppress(UndoneError):
                async with self._stack:
                    raise UndoneError

        self._run(undo())


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as one:
        yield one


def opened(runner: asyncio.Runner, directory: Path, url: str | None) -> Database:
    # Tortoise lets one database of a process be everybody's; here each statement says which it is.
    tortoise_context._global_context = None
    where = make_settings(directory, url)
    runner.run(make_tables(where))
    return runner.run(open_database(where))


def run_machine(runner: asyncio.Runner, databases: list[Database], scripts: int) -> None:
    Deliveries.databases, Deliveries.runner, Deliveries.steps = databases, runner, set()
    try:
        run_state_machine_as_test(
            Deliveries,
            settings=settings(
                max_examples=scripts,
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        for database in databases:
            runner.run(database.close())


@pytest.mark.timeout(240)
def test_no_script_of_moves_breaks_an_invariant(runner: asyncio.Runner, tmp_path: Path) -> None:
    run_machine(runner, [opened(runner, tmp_path, None)], scripts=200)
    every_step = {(old, new) for old, ends in TRANSITIONS.items() for new in ends}
    stays = {(status, status) for status in Status}
    assert Deliveries.steps - stays == every_step


@pytest.mark.postgres
@pytest.mark.timeout(240)
def test_both_databases_end_every_script_in_the_same_states(
    runner: asyncio.Runner, tmp_path: Path, postgres_database: Callable[..., str]
) -> None:
    both = [opened(runner, tmp_path, url) for url in (None, postgres_database())]
    run_machine(runner, both, scripts=60)
