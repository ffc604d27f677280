"""One reader for all who listen in this process; it looks only while somebody does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final
from uuid import UUID

from almenara.database import Database, Transaction, read_id
from almenara.database.faults import Fault, classify
from almenara.errors import UnavailableError
from almenara.models import Message
from almenara.stream.changes import Changes
from almenara.stream.listener import Listener
from almenara.telemetry import get_logger

log = get_logger("stream")

#: The database is looked at so often, in seconds.
LOOK_SECONDS: Final = 1.0
#: So many may listen to one process.
MOST_LISTENERS: Final = 64
#: Who comes first waits so long for the first look, in seconds.
_BEGIN_SECONDS = 5.0
#: After the last event, a listener has so long to take it, in seconds.
_LAST_SECONDS = 1.0

#: The channels of messages, by the index that is there for their deliveries.
CHANNELS: Final = (
    "SELECT DISTINCT delivery.message_id, delivery.channel"
    " FROM {source} JOIN delivery ON delivery.message_id = v.id"
)


@dataclass(frozen=True, slots=True)
class Change:
    """A message that is new or has changed."""

    message: Message
    #: For which it has deliveries; empty where nobody asks.
    channels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Words:
    """How what is told is written."""

    change: Callable[[Change], bytes]
    #: More has changed than was told.
    left_out: bytes
    end: bytes


Wants = Callable[[Change], bool]


class Stream:
    """Tells listeners what changes.

    Args:
        words: gives what writes each event, once for all listeners; asked at the first of them.
    """

    def __init__(self, database: Database, *, words: Callable[[], Words]) -> None:
        self._database = database
        self._make_words = words
        self._wants: dict[Listener, Wants] = {}
        #: Those of them that ask for a message's channels.
        self._by_channel: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()
        self._quiet = asyncio.Event()
        self._ended = False
        #: What was found and not told, because the database went away in between.
        self._owed: set[UUID] = set()

    @cached_property
    def _words(self) -> Words:
        return self._make_words()

    @property
    def listener_count(self) -> int:
        """How many listen."""
        return len(self._wants)

    async def listen(
        self, wants: Wants, *, by_channel: bool, hang_up: Callable[[], None]
    ) -> Listener:
        """Let one more listen; what is committed after this returned is told.

        Args:
            by_channel: ``wants`` looks at the channels of a message.
            hang_up: see :class:`Listener`.

        Raises:
            UnavailableError: too many do, the server stops, or its database does not answer.
        """
        if self._ended:
            raise UnavailableError("The server is stopping; listen again in a moment.")
        if len(self._wants) >= MOST_LISTENERS:
            raise UnavailableError(
                f"{MOST_LISTENERS} streams are open in this process; close one, or try again later."
            )
        listener = Listener(hang_up)
        self._wants[listener] = wants
        if by_channel:
            self._by_channel.add(listener)
        if self._task is None:
            self._begun.clear()
            self._task = asyncio.create_task(self._read(), name="stream")
        try:
            async with asyncio.timeout(_BEGIN_SECONDS):
                await self._begun.wait()
        except TimeoutError as error:
            self.leave(listener)
            raise UnavailableError("The database does not answer; try again later.") from error
        except BaseException:
            self.leave(listener)
            raise
        return listener

    def leave(self, listener: Listener) -> None:
        """Forget a listener."""
        self._wants.pop(listener, None)
        self._by_channel.discard(listener)
        if not self._wants:
            self._quiet.set()

    def end(self) -> None:
        """Tell everybody that this is the end; who does not take that is hung up on."""
        self._ended = True
        self._begun.set()
        for listener in self._wants:
            listener.end(self._words.end)
        asyncio.get_running_loop().call_later(_LAST_SECONDS, self._hang_up, list(self._wants))

    async def close(self) -> None:
        """End it; returns when the database is no longer looked at."""
        self.end()
        for listener in list(self._wants):
            self.leave(listener)
        if self._task is not None:
            await asyncio.wait({self._task})

    def _hang_up(self, listeners: Sequence[Listener]) -> None:
        for listener in listeners:
            if listener in self._wants:
                listener.drop()

    async def _read(self) -> None:
        """Look again and again, until nobody listens any more."""
        changes = Changes(self._database, clock=lambda: datetime.now(UTC))
        try:
            while self._wants:
                self._quiet.clear()
                try:
                    await self._look(changes)
                except Exception as error:
                    if classify(error) is Fault.UNAVAILABLE:
                        log.warning("database_unavailable", error=type(error).__name__)
                    else:
                        log.exception("stream_look_failed")
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._quiet.wait()
        finally:
            self._task = None

    async def _look(self, changes: Changes) -> None:
        if not self._begun.is_set():
            await changes.begin()
            self._owed = set()
            self._begun.set()
            return
        found = await changes.look()
        if found.left_out:
            self._tell_all(self._words.left_out)
        self._owed.update(found.ids)
        if self._owed:
            await self._tell(sorted(self._owed))
            self._owed = set()

    async def _tell(self, ids: Sequence[UUID]) -> None:
        messages = await Message.filter(id__in=ids).using_db(self._database.reader)
        channels = await self._channels(ids) if self._by_channel else {}
        for message in sorted(messages, key=lambda one: one.id):
            change = Change(message, frozenset(channels.get(message.id, ())))
            takers = [one for one, wants in self._wants.items() if wants(change)]
            if takers:
                event = self._words.change(change)
                for listener in takers:
                    listener.tell(event)

    async def _channels(self, ids: Sequence[UUID]) -> dict[UUID, set[str]]:
        reader = Transaction(self._database.reader, self._database.dialect)
        source, values = reader.rows({"id": "uuid"}, [(one,) for one in ids])
        found: dict[UUID, set[str]] = {}
        for row in await reader.fetch(CHANNELS.format(source=source), *values):
            found.setdefault(read_id(row["message_id"]), set()).add(row["channel"])
        return found

    def _tell_all(self, event: bytes) -> None:
        for listener in list(self._wants):
            listener.tell(event)
