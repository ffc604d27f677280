"""Replays from the wish to the end: made, worked off step by step, looked at, cancelled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from almenara.database import Database, Row, Transaction
from almenara.database.transaction import ColumnType
from almenara.deliveries import Status
from almenara.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from almenara.ledger import Ledger
from almenara.log import Page, cut_page, read_cursor
from almenara.models import Replay, new_id
from almenara.replay.counting import DryRun, count_all, dry_run
from almenara.replay.pace import read_rate
from almenara.replay.selection import Selection
from almenara.replay.step import Step, make_step
from almenara.routing import Routing
from almenara.telemetry import get_logger
from almenara.trail import Action, Trace, leave

log = get_logger("replay")

#: Other processes' replays are looked for at least so often, in seconds; SQLite has no others.
_LONGEST_SLEEPS = {"postgres": 1.0, "sqlite": 5.0}


_COLUMNS: dict[str, ColumnType] = {
    "id": "uuid",
    "status": "text",
    "filters": "jsonb",
    "rate": "text",
    "total_count": "integer",
    "until_id": "uuid",
    "due_at": "timestamptz",
    "requested_by": "text",
    "created_at": "timestamptz",
}


class ReplayStatus(StrEnum):
    """Where a replay stands."""

    #: It makes new deliveries, as fast as its rate allows.
    RUNNING = "running"
    #: It has looked at every delivery. Final.
    DONE = "done"
    #: Somebody stopped it; what it had made stays. Final.
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay has come, and where the deliveries that it made stand by now."""

    replay: Replay
    deliveries: Mapping[Status, int]


class Replays:
    """The replays of one database; every process that runs them shares the work.

    Args:
        ring: told the channels of new deliveries.
    """

    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        routing: Routing,
        ring: Callable[[Iterable[str]], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._routing = routing
        self._ring = ring
        self._clock = clock
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def create(
        self, selection: Selection, *, rate: str | None = None, requested_by: str | None = None
    ) -> Replay:
        """Store a wish to send deliveries again; from then on it is worked off, whoever dies.

        Args:
            rate: such as ``10/s``: never more in a span.

        Raises:
            InvalidInputError: the filters or the rate cannot be used, or nothing matches.
        """
        read_rate(rate)
        selection = selection.checked(await self._routing.refresh())
        replay_id, now = new_id(), self._clock()
        count = await count_all(self._database, selection, replay_id)
        if not count:
            raise _nothing(selection)
        row = (
            replay_id,
            ReplayStatus.RUNNING.value,
            json.dumps(selection.to_json()),
            rate and rate.strip().lower(),
            count,
            selection.newest_id(replay_id),
            now,
            requested_by,
            now,
        )

        async def work(transaction: Transaction) -> None:
            await transaction.insert("replay", _COLUMNS, [row])
            state = {"filters": selection.to_json(), "rate": rate, "total_count": count}
            trace = Trace(Action.REPLAY_CREATED, str(replay_id), after=state)
            await leave(transaction, trace, by=requested_by, at=now)

        await self._ledger.run(work)
        log.info("replay_created", replay_id=str(replay_id), total_count=count)
        self._wake.set()
        return await self._read(replay_id)

    async def dry_run(self, selection: Selection, *, rate: str | None = None) -> DryRun:
        """Say what :meth:`create` would send again; nothing is stored.

        Raises:
            InvalidInputError: as for :meth:`create`.
        """
        read_rate(rate)
        selection = selection.checked(await self._routing.refresh())
        replay_id = new_id()
        found = await dry_run(self._database, selection, replay_id)
        if not found.count:
            raise _nothing(selection)
        return found

    async def get(self, replay_id: UUID) -> Progress:
        """Return a replay and where its deliveries stand.

        Raises:
            NotFoundError: there is no such replay.
        """
        replay = await self._read(replay_id)
        rows = await self._database.fetch(
            "SELECT status, COUNT(*) AS number FROM delivery WHERE replay_id = $1 GROUP BY status",
            replay_id,
        )
        return Progress(replay, {Status(row["status"]): row["number"] for row in rows})

    async def list(self, *, cursor: str | None, limit: int) -> Page[Replay]:
        """Return a page of replays, newest first.

        Raises:
            InvalidInputError: the cursor is not one of ours.
        """
        query = Replay.all().using_db(self._database.reader).order_by("-id")
        if cursor:
            query = query.filter(id__lt=read_cursor(cursor))
        return cut_page(await query.limit(limit + 1), limit)

    async def cancel(self, replay_id: UUID, *, by: str | None = None) -> None:
        """Stop a replay: it makes no more deliveries; what it made stays.

        Raises:
            NotFoundError: there is no such replay.
            ConflictError: it has ended.
        """

        async def work(transaction: Transaction) -> list[Row]:
            rows = await transaction.fetch(
                """
                UPDATE replay SET status = 'cancelled', finished_at = $2
                WHERE id = $1 AND status = 'running' RETURNING id
                """,
                *(replay_id, self._clock()),
            )
            if rows:
                trace = Trace(Action.REPLAY_CANCELLED, str(replay_id))
                await leave(transaction, trace, by=by, at=self._clock())
            return rows

        if not await self._ledger.run(work):
            replay = await self._read(replay_id)
            raise ConflictError(
                f"The replay is {replay.status}; only a running one can be cancelled.",
                code="replay_ended",
            )

    def start(self) -> None:
        """Begin to work off what runs."""
        self._task = asyncio.create_task(self._run(), name="replays")

    async def close(self) -> None:
        """End the step that is under way, and make no more."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def advance(self) -> float:
        """Make one step of each replay that may go on, and return the seconds until the next may.

        Raises:
            UnavailableError: the database cannot just now.
        """
        self._wake.clear()
        sleep = _LONGEST_SLEEPS[self._database.dialect]
        running = Replay.filter(status=ReplayStatus.RUNNING).using_db(self._database.reader)
        for replay in await running.order_by("due_at"):
            due_at: datetime | None = replay.due_at
            if replay.due_at <= self._clock():
                due_at = await self._step(replay)
            if due_at is not None:
                sleep = min(sleep, (due_at - self._clock()) / timedelta(seconds=1))
        return max(sleep, 0.0)

    async def _step(self, replay: Replay) -> datetime | None:
        """Make a step, and return when the next one is due; ``None``: there is none here."""
        try:
            step = await make_step(self._database, self._ledger, replay, clock=self._clock)
        except UnavailableError:
            raise
        except Exception:
            # One that cannot go on stops no other.
            log.exception("replay_broken", replay_id=str(replay.id))
            return None
        if step is None:
            return None
        self._tell(replay, step)
        return step.due_at

    def _tell(self, replay: Replay, step: Step) -> None:
        if step.channels:
            self._ring(step.channels)
        if step.last:
            log.info("replay_done", replay_id=str(replay.id))

    async def _run(self) -> None:
        while not self._closing:
            sleep = _LONGEST_SLEEPS[self._database.dialect]
            try:
                sleep = await self.advance()
            except UnavailableError as error:
                log.warning("replays_postponed", reason=error.message)
            except Exception:
                log.exception("replays_failed")
            if not self._closing:
                await self._sleep(sleep)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _read(self, replay_id: UUID) -> Replay:
        found = await Replay.filter(id=replay_id).using_db(self._database.reader).first()
        if found is None:
            raise NotFoundError("replay", str(replay_id))
        return found


def _nothing(selection: Selection) -> InvalidInputError:
    return InvalidInputError(selection.sentence(), code="nothing_to_replay")
