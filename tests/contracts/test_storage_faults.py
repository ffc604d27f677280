"""The storage fails at its k-th call, for every k: nothing is promised that is not stored.

Every statement and every commit of accepting, claiming and recording fails once, before it is done
and after it. Whatever was answered with yes is stored; whatever was sent has its attempt in the
log; and once the storage works again, everything that is stored ends.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count as count_from
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from almenara.api.parts import Parts
from almenara.app import running
from almenara.catalogue import ChannelSpec, TopicSpec, TopicStep
from almenara.database import Database, Transaction, read_id
from almenara.database.sqlite import OneTripTransaction
from almenara.deliveries import FINAL, NewMessage
from almenara.errors import AlmenaraError
from almenara.models import new_id
from almenara.queues.base import Queue
from almenara.queues.inline import InlineQueue
from almenara.sending import Wiring
from almenara.settings import Settings
from tests.plugins.author import Author
from tests.stored import count


def inline(wiring: Wiring) -> Queue:
    return InlineQueue(ledger=wiring.ledger, routing=wiring.routing, dispatcher=wiring.dispatcher)


class Storage:
    """Counts the calls of the storage, and lets one of them fail."""

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self.calls = 0
        self.failing = 0
        self.after = False

    def fail(self, call: int, *, after: bool) -> None:
        self.calls, self.failing, self.after = 0, call, after

    async def around(self, work: Callable[[], Any]) -> Any:
        self.calls += 1
        wrong = self.calls == self.failing
        if wrong and not self.after:
            raise self._error()
        answer = await work()
        if wrong:
            raise self._error()
        return answer

    def _error(self) -> Exception:
        if self._dialect == "postgres":
            return asyncpg.PostgresConnectionError("the connection is gone")
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        return error


@contextmanager
def faulty(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """Put the counting storage in place of the real calls."""
    storage = Storage(database.dialect)
    context = type(database.writer._in_transaction())
    leave = context.__aexit__

    def counted(call: Any) -> Any:
        async def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await storage.around(lambda: call(self, *args, **kwargs))

        return counting

    async def counted_leave(self: Any, kind: Any, error: Any, trace: Any) -> Any:
        if kind is not None:
            return await leave(self, kind, error, trace)
        storage.calls += 1
        wrong = storage.calls == storage.failing
        if wrong and not storage.after:
            failed = storage._error()
            await leave(self, type(failed), failed, None)
            raise failed
        answer = await leave(self, None, None, None)
        if wrong:
            raise storage._error()
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "execute", counted(Transaction.execute))
        patch.setattr(Transaction, "fetch", counted(Transaction.fetch))
        if database.dialect == "sqlite":
            # On PostgreSQL it is an `execute`.
            patch.setattr(Transaction, "insert", counted(Transaction.insert))
        patch.setattr(OneTripTransaction, "commit", counted(OneTripTransaction.commit))
        patch.setattr(context, "__aexit__", counted_leave)
        yield storage


#: What reading outside the ledger lets through, beside our own errors.
TROUBLE = (AlmenaraError, sqlite3.Error, asyncpg.PostgresError)


async def one_message(parts: Parts, key: str) -> UUID | None:
    """Accept a message, send it by its chain; return its id if it was promised."""
    clock = parts.acceptor._clock
    assert isinstance(parts.queue, InlineQueue)
    promised = None
    message = NewMessage(id=new_id(), topic="oncall", description="permanent", created_at=clock())
    with suppress(*TROUBLE):
        promised = (await parts.acceptor.accept(message, key=key)).message_id
    for _ in range(3):
        with suppress(*TROUBLE):
            await parts.queue.run_due(clock())
    return promised


async def check_log(parts: Parts, promised: set[UUID], author: Author) -> None:
    rows = await parts.database.fetch("SELECT * FROM delivery")
    stored = {read_id(row["message_id"]) for row in rows}
    assert promised <= stored
    assert all(row["status"] in FINAL for row in rows)
    assert await count(parts.database, "message") == len(stored)
    attempts = await parts.database.fetch("SELECT delivery_id FROM attempt")
    tried = Counter(str(row["delivery_id"]) for row in attempts)
    sends = Counter(trace["key"] for trace in author.traces())
    assert sends
    assert not sends - tried, "it was sent more often than the log knows"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_whatever_call_fails_no_promise_is_broken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    author = Author(settings.plugins_dir)
    async with running(settings, make_queue=inline) as parts:
        for spec in (ChannelSpec("told", "Told", retry_schedule=[]), ChannelSpec("sink", "Sink")):
            await parts.channels.write(spec, create=True, replace=True)
        topic = TopicSpec("oncall", [TopicStep("told"), TopicStep("sink")], strategy="failover")
        await parts.topics.write(topic, create=True, replace=True)
        assert isinstance(parts.queue, InlineQueue)
        promised: set[UUID] = set()
        for call in count_from(1):
            with faulty(parts.database, monkeypatch) as storage:
                storage.fail(call, after=after)
                answered = await one_message(parts, f"key {call}")
            promised |= {answered} if answered else set()
            # It works again; what was claimed in vain is taken back as after a crash.
            now = parts.acceptor._clock()
            await parts.queue.rescue(now, all_of_them=True)
            while await parts.queue.run_due(now):
                pass
            if storage.calls < call:
                break
        assert call > 20, "hardly any call was made to fail"
        await check_log(parts, promised, author)
