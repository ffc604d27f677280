"""Channels paused and resumed by people, and how each channel fares."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

from almenara.catalogue.change import Changes
from almenara.catalogue.channels import find_channel
from almenara.database import Database, Transaction
from almenara.errors import ConflictError
from almenara.limits import State, pause, read_states, resume
from almenara.models import Channel
from almenara.queues.base import Queue
from almenara.trail import Action, Trace, leave


class Pausing:
    """Pauses and resumes channels, effective when it returns."""

    def __init__(
        self,
        *,
        database: Database,
        changes: Changes,
        queue: Queue,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._changes = changes
        self._queue = queue
        self._clock = clock

    async def states(self, channels: Iterable[Channel]) -> list[State]:
        """Return how channels fare, in their order."""
        return await read_states(self._database, [channel.id for channel in channels])

    async def pause(
        self, name: str, *, detail: str | None = None, by: str | None = None
    ) -> Channel:
        """Pause a channel until somebody resumes it; what waits for it stays pending.

        Args:
            detail: why, for people.

        Raises:
            NotFoundError: there is none of this name.
            ConflictError: somebody has paused it already.
        """
        return await self._changes.make(partial(self._pause, name, detail, by))

    async def resume(self, name: str, *, by: str | None = None) -> Channel:
        """Resume a channel, whatever it was paused for, and begin what waits for it.

        Raises:
            NotFoundError: there is none of this name.
            ConflictError: it is not paused.
        """
        channel = await self._changes.make(partial(self._resume, name, by))
        self._queue.ring([channel.name])
        return channel

    async def _pause(
        self, name: str, detail: str | None, by: str | None, transaction: Transaction
    ) -> Channel:
        channel = await find_channel(name, transaction.client)
        if not await pause(transaction, channel, detail=detail, now=self._clock()):
            raise ConflictError(
                f"The channel {channel.name!r} is paused already.", code="channel_paused"
            )
        trace = Trace(Action.CHANNEL_PAUSED, channel.name, after={"detail": detail})
        await leave(transaction, trace, by=by, at=self._clock())
        return channel

    async def _resume(self, name: str, by: str | None, transaction: Transaction) -> Channel:
        channel = await find_channel(name, transaction.client)
        if not await resume(transaction, channel, now=self._clock()):
            raise ConflictError(
                f"The channel {channel.name!r} is not paused.", code="channel_not_paused"
            )
        trace = Trace(Action.CHANNEL_RESUMED, channel.name)
        await leave(transaction, trace, by=by, at=self._clock())
        return channel
