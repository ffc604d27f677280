"""Retention: old messages are purged, and the texts of topics that ask for it dropped.

Both go on in the background, in small batches that let accepting pass: each is one transaction, put
behind what waits, with a pause after it that is longer than it took. A batch is whole or not at
all, so a process may die at any moment; the next start goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from almenara.database import Database
from almenara.database.faults import Fault, classify
from almenara.errors import UnavailableError
from almenara.ledger import Ledger
from almenara.ledger.attachments import purge_contents
from almenara.ledger.purge import find_old, find_unredacted, purge_messages, redact_messages
from almenara.telemetry import get_logger
from almenara.trail import MOST_FORGOTTEN, forget

log = get_logger("retention")

#: What is finished is looked for so often, in seconds, to drop its texts.
_REDACT_EVERY = 2.0
#: What is old is looked for so often, in seconds.
_PURGE_EVERY = 3600.0
#: Contents that no message names are looked for so often, in seconds.
_ORPHANS_EVERY = 600.0
#: After a failure it is tried again at the latest then, in seconds.
_RETRY_AFTER = 60.0

#: After a batch nothing is done for so many times as long as it took, between these seconds.
_REST = 3.0
_SHORTEST_REST = 0.01
_LONGEST_REST = 5.0
#: A batch waits so long at the most for the ledger to have nothing else, in seconds.
_PATIENCE = 1.0

_BEFORE_ALL = UUID(int=0)


class Retention:
    """Purges and redacts in the background of one process; several share the work.

    Args:
        days: finished messages are kept so long; 0: for ever.
        audit_days: so long it is kept who changed what; 0: for ever.
    """

    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        clock: Callable[[], datetime],
        days: int,
        audit_days: int = 0,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._days = days
        self._audit_days = audit_days
        self._closing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        #: A process before this one may have been killed between a deletion and the wiping.
        self._unwiped = True

    def start(self) -> None:
        """Begin; the first round is made at once."""
        rounds: list[tuple[Callable[[], Awaitable[int]], float]] = [
            (self.redact, _REDACT_EVERY),
            (self.purge_attachments, _ORPHANS_EVERY),
        ]
        if self._days:
            rounds.append((self.purge, _PURGE_EVERY))
        if self._audit_days:
            rounds.append((self.forget_changes, _PURGE_EVERY))
        self._tasks = [
            asyncio.create_task(self._repeat(make_round, seconds), name="retention")
            for make_round, seconds in rounds
        ]

    async def close(self) -> None:
        """Stop after the batch under way."""
        self._closing.set()
        await asyncio.gather(*self._tasks)

    async def purge(self) -> int:
        """Delete every message that is old, and return how many.

        Raises:
            UnavailableError: the database cannot just now; what was deleted stays so.
        """
        before = self._clock() - timedelta(days=self._days)
        last: UUID | None = _BEFORE_ALL
        count = 0
        while last is not None and not self._closing.is_set():
            stretch = await find_old(self._database, before=before, after=last)
            if stretch.ids:
                work = partial(purge_messages, ids=stretch.ids, before=before)
                count += await self._in_turn(work)
            else:
                await self._sleep(_SHORTEST_REST)
            last = stretch.last
        if count:
            log.info("messages_purged", message_count=count, retention_days=self._days)
        await self._wipe()
        return count

    async def forget_changes(self) -> int:
        """Delete what is old of who changed what, and return how much.

        Raises:
            UnavailableError: the database cannot just now; what was deleted stays so.
        """
        work = partial(forget, before=self._clock() - timedelta(days=self._audit_days))
        count = 0
        while not self._closing.is_set():
            deleted = await self._in_turn(work)
            count += deleted
            if deleted < MOST_FORGOTTEN:
                break
        return count

    async def purge_attachments(self) -> int:
        """Delete every content that no message names any more, and return how many.

        Raises:
            UnavailableError: the database cannot just now; what was deleted stays so.
        """
        count = 0
        while not self._closing.is_set():
            if not await self._in_turn(partial(purge_contents, now=self._clock())):
                break
            count += 1
        if count:
            log.info("attachments_purged", content_count=count)
        await self._wipe()
        return count

    async def redact(self) -> int:
        """Drop the texts of every finished message that asks for it, and return how many.

        Raises:
            UnavailableError: the database cannot just now; what was dropped stays so.
        """
        count = 0
        while not self._closing.is_set():
            ids = await find_unredacted(self._database)
            if not ids:
                break
            done = await self._in_turn(partial(redact_messages, ids=ids, now=self._clock()))
            count += done
            if not done:
                # All of them are in another process's hands.
                break
        if count:
            log.info("messages_redacted", message_count=count)
        await self._wipe()
        return count

    async def _in_turn(self, work: Callable[..., Awaitable[int]]) -> int:
        """Do a batch when the ledger has nothing else, and rest."""
        await self._let_pass()
        begun = time.monotonic()
        count = await self._ledger.run(work)
        self._unwiped = self._unwiped or count > 0
        took = time.monotonic() - begun
        await self._sleep(min(max(_REST * took, _SHORTEST_REST), _LONGEST_REST))
        return count

    async def _let_pass(self) -> None:
        """Wait until nothing waits to be written; not for ever, or a busy server never purges."""
        until = time.monotonic() + _PATIENCE
        while self._ledger.waiting_count and time.monotonic() < until:
            await self._sleep(_SHORTEST_REST)

    async def _wipe(self) -> None:
        """Let SQLite's files forget what was deleted; tried again while a reader is in the way."""
        if not self._unwiped:
            return
        # Set before the wait: a batch that ends meanwhile asks for another one.
        self._unwiped = False
        emptied = False
        try:
            emptied = await self._database.truncate_log()
        finally:
            self._unwiped = self._unwiped or not emptied

    async def _repeat(self, make_round: Callable[[], Awaitable[int]], seconds: float) -> None:
        while not self._closing.is_set():
            pause = seconds
            try:
                await make_round()
            except Exception as error:
                pause = min(seconds, _RETRY_AFTER)
                if isinstance(error, UnavailableError) or classify(error) is Fault.UNAVAILABLE:
                    log.warning("retention_postponed", reason=str(error)[:200])
                else:
                    log.exception("retention_failed")
            await self._sleep(pause)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            pass
