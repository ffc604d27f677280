"""Almenara that kills itself at one point of its work: `point_launcher POINT PASSES [serve ...]`.

The points are those of the failure model. The product has no hook for them: what stands here is put
around its functions from outside, in this process alone. It dies when it passes the point for the
so-manieth time with nothing else under way, so that what a point costs can be told exactly.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from almenara import accept, ledger
from almenara.__main__ import main
from almenara.database import asyncpg as postgres_engine
from almenara.database import sqlite as sqlite_engine
from almenara.deliveries import attempts
from almenara.dispatch import dispatcher
from almenara.ledger import commit, operations
from almenara.queues import embedded

#: At `told`, what was accepted is answered within so many seconds, and then the process dies.
_ANSWER_SECONDS = 0.05


class Point:
    """The point at which this process dies."""

    def __init__(self, name: str, passes: int) -> None:
        self.name = name
        self._passes = passes
        self.queue: Any = None
        #: The operations of the transaction that is being written.
        self.writing: set[Any] = set()

    def passed(self, *, under_way: int) -> bool:
        """Count a pass with no other attempt under way; tell whether this is the one to die at."""
        if self.queue is None or self.queue._attempts.count > under_way:  # noqa: SLF001 - from outside
            return False
        self._passes -= 1
        return self._passes == 0

    def die(self) -> None:
        """End as if killed from outside, at once."""
        os.kill(os.getpid(), signal.SIGKILL)


def _watch_queue(point: Point) -> None:
    start = embedded.EmbeddedQueue.start

    async def watched(self: Any) -> None:
        point.queue = self
        await start(self)

    embedded.EmbeddedQueue.start = watched  # type: ignore[method-assign]  # from outside


def _around_commit(point: Point) -> None:
    """P1: before an accepted message is written; P3: after its commit; P11: after a result's."""
    write = commit.Ledger._commit  # noqa: SLF001 - from outside

    async def watched(self: Any, batch: Any) -> Any:
        point.writing = {entry.operation for entry in batch}
        accepting = ledger.accept_messages in point.writing
        if point.name == "P1" and accepting and point.passed(under_way=0):
            point.die()
        answers = await write(self, batch)
        if point.name == "P3" and accepting and point.passed(under_way=0):
            point.die()
        recording = ledger.record_results in point.writing
        if point.name == "P11" and recording and point.passed(under_way=1):
            point.die()
        return answers

    commit.Ledger._commit = watched  # type: ignore[method-assign]  # noqa: SLF001 - from outside


def _during_commit(point: Point) -> None:
    """P2: somewhere in the COMMIT of an accepted message."""

    def die_soon() -> None:
        time.sleep(random.uniform(0, 0.001))
        point.die()

    for engine in (sqlite_engine, postgres_engine):
        leave = engine.SafeTransactionContext.__aexit__

        async def watched(self: Any, kind: Any, *rest: Any, leave: Any = leave) -> Any:
            accepting = kind is None and ledger.accept_messages in point.writing
            if accepting and point.passed(under_way=0):
                threading.Thread(target=die_soon).start()
            return await leave(self, kind, *rest)

        engine.SafeTransactionContext.__aexit__ = watched  # type: ignore[method-assign]  # from outside

    commit_here = sqlite_engine.OneTripTransaction.commit

    async def watched_here(self: Any) -> None:
        if ledger.accept_messages in point.writing and point.passed(under_way=0):
            threading.Thread(target=die_soon).start()
        await commit_here(self)

    sqlite_engine.OneTripTransaction.commit = watched_here  # type: ignore[method-assign]  # from outside


def _not_told(point: Point) -> None:
    """P4: the 202 is sent, and the queue was not told."""
    hand_over = accept.hand_over

    def watched(queue: Any, plan: Any, *, stored: bool) -> None:
        if stored and point.passed(under_way=0):
            asyncio.get_running_loop().call_later(_ANSWER_SECONDS, point.die)
        else:
            hand_over(queue, plan, stored=stored)

    accept.hand_over = watched


def _before(owner: Any, name: str, point: Point) -> None:
    """Die before a function of an attempt's way is called."""
    original = getattr(owner, name)

    async def watched(*args: Any, **kwargs: Any) -> Any:
        if point.passed(under_way=1):
            point.die()
        return await original(*args, **kwargs)

    setattr(owner, name, watched)


def _on_the_wire(point: Point) -> None:
    """P9: the service has the request, and has not answered yet; the sink answers slowly."""
    call = dispatcher.call_plugin

    async def watched(*args: Any, **kwargs: Any) -> Any:
        if point.passed(under_way=1):
            asyncio.get_running_loop().call_later(_ANSWER_SECONDS, point.die)
        return await call(*args, **kwargs)

    dispatcher.call_plugin = watched


def _before_deliveries(point: Point) -> None:
    """P14: the message is written, its deliveries are not."""
    insert = operations.insert

    async def watched(*args: Any) -> None:
        if ledger.accept_messages in point.writing and point.passed(under_way=0):
            point.die()
        await insert(*args)

    operations.insert = watched


POINTS: dict[str, Callable[[Point], None]] = {
    "P1": _around_commit,
    "P2": lambda point: (_around_commit(point), _during_commit(point))[1],
    "P3": _around_commit,
    "P4": _not_told,
    "P8": lambda point: _before(dispatcher.Dispatcher, "_call", point),
    "P9": _on_the_wire,
    "P10": lambda point: _before(dispatcher.Dispatcher, "record", point),
    "P11": _around_commit,
    "P13": lambda point: _before(operations, "_insert_attempts", point),
    "P14": lambda point: (_around_commit(point), _before_deliveries(point))[1],
    "chain": lambda point: _before(attempts, "_follow_chains", point),
}


if __name__ == "__main__":
    chosen = Point(sys.argv[1], int(sys.argv[2]))
    _watch_queue(chosen)
    POINTS[chosen.name](chosen)
    sys.argv = ["almenara", "serve", *sys.argv[3:]]
    main()
