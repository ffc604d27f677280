"""Group commit: the one writer, which puts what waits into one transaction.

Whoever wants to write puts a payload on the list and waits. One task takes all that waits, writes
it with one call per kind of operation, commits, and wakes each waiter: a batch is what arrived
during the last commit, and in the few turns of the event loop that it leaves to those it woke. What
returned from here is synced to disk.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from almenara import figures
from almenara.database import Database, Transaction
from almenara.database.faults import Fault, classify
from almenara.errors import UnavailableError
from almenara.ledger.idempotency import stored_topics
from almenara.ledger.operations import record_results
from almenara.news import News
from almenara.telemetry import get_logger

log = get_logger("ledger")

Payload = TypeVar("Payload")
Answer = TypeVar("Answer")

#: Writes many payloads inside one transaction, and returns one answer for each, in their order.
Operation = Callable[[Transaction, Sequence[Payload]], Awaitable[Sequence[Answer]]]

#: Writes the messages that tell the news of a transaction, inside it.
Announce = Callable[[Transaction, Sequence[News]], Awaitable[None]]

#: So many payloads go into one transaction at the most.
_LARGEST_BATCH = 500
#: After a batch, the event loop has so many turns, at the most, before the next one is begun: in so
#: many an answer goes out, the next request is read, and hands in its payload. Begun at once, a
#: batch was whoever had just missed the one before: 5 of 64, again and again, written by a thread
#: that fought the loop's for the interpreter and took as long as for 60. With these turns 1.2 times
#: as many are accepted, and 1.12 times as many delivered.
_TURNS_BETWEEN = 6
#: A deadlock is tried again so many times.
_COLLISIONS_ALLOWED = 3


@dataclass(slots=True)
class _Entry:
    """One payload that waits to be written; ``alone`` for a unit of work of its own."""

    operation: Operation[Any, Any]
    payload: Any
    future: asyncio.Future[Any]
    then: Callable[[Any], None] | None = None
    alone: bool = False


class Ledger:
    """The writer of one process.

    Args:
        announce: tells the news of each transaction; absent: they are told to nobody.
        capacity: so many payloads may wait; the next ones that are not urgent are refused.
    """

    def __init__(
        self, database: Database, *, announce: Announce | None = None, capacity: int = 5_000
    ) -> None:
        self._database = database
        self._announce = announce
        self._capacity = capacity
        self._urgent: deque[_Entry] = deque()
        self._waiting: deque[_Entry] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        #: How many transactions it has committed.
        self.committed_count = 0

    def start(self) -> None:
        """Start the writing task."""
        self._task = asyncio.create_task(self._run(), name="ledger")

    async def close(self) -> None:
        """Write what waits, then stop; later payloads are refused."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task

    @property
    def running(self) -> bool:
        """Whether payloads are being written."""
        return self._task is not None and not self._task.done() and not self._closing

    @property
    def waiting_count(self) -> int:
        """How many payloads wait for the next transaction."""
        return len(self._urgent) + len(self._waiting)

    def submit(
        self,
        operation: Operation[Payload, Answer],
        payload: Payload,
        *,
        urgent: bool = False,
        then: Callable[[Answer | None], None] | None = None,
    ) -> asyncio.Future[Answer]:
        """Put a payload on the list; the future has its answer once it is committed.

        Whoever cancels the future waits no longer; the payload is written all the same.

        Args:
            urgent: goes before what is not, and is never refused: results and claims.
            then: is called with the answer once it is committed, with ``None`` once it is sure that
                it is not; once, however the waiter ends.

        Raises:
            UnavailableError: too many wait, or the ledger is closing.
        """
        entry = _Entry(operation, payload, asyncio.get_running_loop().create_future(), then)
        return cast("asyncio.Future[Answer]", self._put(entry, urgent=urgent))

    async def write(
        self,
        operation: Operation[Payload, Answer],
        payload: Payload,
        *,
        urgent: bool = False,
        then: Callable[[Answer | None], None] | None = None,
    ) -> Answer:
        """Write a payload and return its answer once it is committed; see :meth:`submit`.

        Raises:
            UnavailableError: it is not written: the database cannot just now.
        """
        return await self.submit(operation, payload, urgent=urgent, then=then)

    async def run(self, work: Callable[[Transaction], Awaitable[Answer]]) -> Answer:
        """Do a unit of work in a transaction of its own; what it raises rolls it back.

        Raises:
            UnavailableError: it is not done: the database cannot just now.
        """

        async def operation(transaction: Transaction, _: Sequence[None]) -> Sequence[Answer]:
            return [await work(transaction)]

        entry = _Entry(operation, None, asyncio.get_running_loop().create_future(), alone=True)
        return cast("Answer", await self._put(entry, urgent=False))

    def _put(self, entry: _Entry, *, urgent: bool) -> asyncio.Future[Any]:
        refusal = None
        if not self.running:
            refusal = "The server is stopping; send it again in a moment."
        elif not urgent and len(self._waiting) >= self._capacity:
            refusal = "Too many requests wait to be stored; send it again."
        if refusal is not None:
            _tell(entry, None)
            raise UnavailableError(refusal)
        (self._urgent if urgent else self._waiting).append(entry)
        self._wake.set()
        return entry.future

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._urgent or self._waiting:
                batch = self._take()
                await self._write_batch(batch)
                await self._let_come(len(batch))
            if self._closing:
                return

    async def _let_come(self, count: int) -> None:
        """Let those who were woken come again, until as many wait as were just written."""
        for _ in range(_TURNS_BETWEEN):
            if self.waiting_count >= count:
                break
            await asyncio.sleep(0)

    def _take(self) -> list[_Entry]:
        """Take what waits: the urgent first, a unit of work alone."""
        batch: list[_Entry] = []
        for line in (self._urgent, self._waiting):
            while line and len(batch) < _LARGEST_BATCH:
                if line[0].alone:
                    return batch or [line.popleft()]
                batch.append(line.popleft())
        return batch

    async def _write_batch(self, batch: list[_Entry], collisions: int = 0) -> None:
        begun = time.perf_counter()
        try:
            answers = await self._commit(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, each waiter must hear of it
            await self._fail(batch, error, collisions)
        else:
            seconds = time.perf_counter() - begun
            self.committed_count += 1
            stored = stored_topics((entry.payload for entry in batch), answers)
            figures.count_batch(len(batch), stored, seconds)
            for entry, answer in zip(batch, answers, strict=True):
                _tell(entry, answer)
                if not entry.future.done():
                    entry.future.set_result(answer)

    async def _commit(self, batch: list[_Entry]) -> list[Any]:
        """Write a batch in one transaction, each kind of operation by one call."""
        kinds: dict[Operation[Any, Any], list[int]] = {}
        for index, entry in enumerate(batch):
            kinds.setdefault(entry.operation, []).append(index)
        answers: list[Any] = [None] * len(batch)

        async def write(transaction: Transaction) -> None:
            # Results first: they alone wait for the rows of ``channel_state``, and while one waits
            # it must hold nothing that another process waits for.
            for operation, indexes in sorted(kinds.items(), key=_results_first):
                payloads = [batch[index].payload for index in indexes]
                for index, answer in zip(
                    indexes, await operation(transaction, payloads), strict=True
                ):
                    answers[index] = answer
            if transaction.news and self._announce is not None:
                await self._announce(transaction, transaction.news)

        if batch[0].alone:
            # A unit of work may wait for more than its statements.
            async with self._database.transaction() as transaction:
                await write(transaction)
        else:
            await self._database.write(write)
        return answers

    async def _fail(self, batch: list[_Entry], error: Exception, collisions: int) -> None:
        fault = classify(error)
        if fault is Fault.COLLISION and collisions < _COLLISIONS_ALLOWED:
            await self._write_batch(batch, collisions + 1)
        elif fault is not Fault.UNAVAILABLE and len(batch) > 1:
            # One bad row hurts nobody else: each waiter's rows are tried alone.
            for entry in batch:
                await self._write_batch([entry])
        else:
            self._refuse(batch, error, fault)

    def _refuse(self, batch: list[_Entry], error: Exception, fault: Fault | None) -> None:
        unavailable = fault in {Fault.UNAVAILABLE, Fault.COLLISION}
        if unavailable:
            log.warning("database_unavailable", error=str(error)[:200], refused_count=len(batch))
        for entry in batch:
            _tell(entry, None)
            if entry.future.done():
                continue
            refusal = error
            if unavailable:
                refusal = UnavailableError("The database cannot write just now; send it again.")
                refusal.__cause__ = error
            entry.future.set_exception(refusal)
            # Looked at once, so that asyncio does not complain where the waiter went away.
            entry.future.exception()


def _tell(entry: _Entry, answer: Any) -> None:
    """Let what was to be done then be done, where its faults hurt nobody who waits."""
    if entry.then is not None:
        asyncio.get_running_loop().call_soon(entry.then, answer)


def _results_first(kind: tuple[Operation[Any, Any], list[int]]) -> bool:
    """Sort the recording of results before everything else of a batch."""
    return kind[0] is not record_results
