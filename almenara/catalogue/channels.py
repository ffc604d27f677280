"""Channels: read, written with their secrets sealed, deleted."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from tortoise.backends.base.client import BaseDBAsyncClient

from almenara.catalogue.change import Changes
from almenara.catalogue.in_use import refuse_if_used
from almenara.catalogue.settings_check import SettingsCheck
from almenara.catalogue.states import channel_state, written_state
from almenara.database import Database, Transaction
from almenara.deliveries import Reason, cancel
from almenara.errors import ConflictError, NotFoundError, UnavailableError
from almenara.limits import forget, rewritten, schedule_drill
from almenara.loader import Plugins
from almenara.models import Channel, TopicChannel
from almenara.queues.base import Queue
from almenara.retry import DEFAULT_SCHEDULE
from almenara.secrets import Vault, masked
from almenara.trail import Action, Trace, leave

#: So often a channel that others change at the same time is looked at again.
_LOOKS_ALLOWED = 5


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """A channel as somebody wants it, checked field by field already."""

    name: str
    plugin: str
    #: In clear; a secret that is written as the mask stays as it is.
    settings: dict[str, Any] = field(default_factory=dict)
    enabled: bool = True
    timeout_seconds: float = 15.0
    retry_schedule: Sequence[str] = DEFAULT_SCHEDULE
    concurrency: int = 16
    on_unknown: str = "retry"
    rate: str | None = None
    burst: int | None = None
    breaker_failures: int = 20
    breaker_wait: str = "30s"
    #: How it words messages, checked already; ``None``: as its topic does.
    template: dict[str, Any] | None = None
    verify_every: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A channel that was written, and what its writer should know."""

    channel: Channel
    created: bool
    #: Required settings that are missing here and must come from the worker's environment.
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a channel is to be, and whether its settings must be checked for it."""

    spec: ChannelSpec
    check: bool


class _MovedError(Exception):
    """The channel was changed since it was looked at."""


class Channels:
    """Reads and changes channels."""

    def __init__(
        self,
        *,
        database: Database,
        changes: Changes,
        plugins: Plugins,
        vault: Vault,
        queue: Queue,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._changes = changes
        self._settings = SettingsCheck(plugins, vault)
        self._queue = queue
        self._clock = clock

    async def all(self) -> list[Channel]:
        """Return every channel by name."""
        return await Channel.all().using_db(self._database.reader).order_by("name")

    async def get(self, name: str) -> Channel:
        """Return one channel.

        Raises:
            NotFoundError: there is none of this name.
        """
        return await find_channel(name, self._database.reader)

    async def write(
        self, spec: ChannelSpec, *, create: bool, replace: bool, by: str | None = None
    ) -> Written:
        """Create or replace a channel, its secrets sealed.

        Args:
            create: it may be new.
            replace: it may exist.
            by: whose wish it is, for the trail.

        Raises:
            ConflictError: it exists, and may not.
            NotFoundError: it does not exist, and must.
            InvalidInputError: the plugin is not found, or its settings are wrong: names each field.
        """

        def wanted(seen: Channel | None) -> Wanted:
            if seen is not None and not replace:
                raise ConflictError(
                    f"There is a channel {spec.name!r} already; change it with PATCH or PUT.",
                    code="channel_exists",
                )
            if seen is None and not create:
                raise NotFoundError("channel", spec.name)
            return Wanted(spec, check=True)

        return await self._make(spec.name, wanted, by)

    async def change(
        self, name: str, changes: Mapping[str, Any], *, by: str | None = None
    ) -> Written:
        """Change what is given of a channel; changes at the same time do not undo each other.

        Args:
            changes: values by the names of :class:`ChannelSpec`; of ``settings`` those that are
                given, where ``None`` removes one.

        Raises:
            NotFoundError: there is none of this name.
            InvalidInputError: the plugin is not found, or its settings are wrong: names each field.
        """

        def wanted(seen: Channel | None) -> Wanted:
            if seen is None:
                raise NotFoundError("channel", name)
            # A channel whose plugin is broken or gone can still be disabled.
            check = bool(changes.keys() & {"plugin", "settings"})
            return Wanted(_changed(seen, changes), check=check)

        return await self._make(name.strip().lower(), wanted, by)

    async def delete(self, name: str, *, force: bool, by: str | None = None) -> None:
        """Delete a channel.

        Args:
            force: take it out of its topics, and cancel what waits for it.

        Raises:
            NotFoundError: there is none of this name.
            ConflictError: it is in use; names the topics, or counts the deliveries that wait.
        """

        async def work(transaction: Transaction) -> None:
            client = transaction.client
            channel = await find_channel(name, client)
            links = TopicChannel.filter(channel_id=channel.id).using_db(client)
            if force:
                await links.delete()
                await cancel(
                    transaction,
                    by="channel",
                    value=channel.name,
                    reason=Reason.CHANNEL_DELETED,
                    now=self._clock(),
                )
            else:
                await refuse_if_used(transaction, channel)
            await forget(transaction, channel.id)
            await channel.delete(using_db=client)
            trace = Trace(Action.CHANNEL_DELETED, channel.name, before=channel_state(channel))
            await leave(transaction, trace, by=by, at=self._clock())

        await self._changes.make(work)

    async def _make(
        self, name: str, wanted: Callable[[Channel | None], Wanted], by: str | None
    ) -> Written:
        """Write a channel as it is wanted, seen as it stands.

        The check of the settings runs the plugin author's code, so it stands before the
        transaction; a channel that moved meanwhile is looked at again.
        """
        for _ in range(_LOOKS_ALLOWED):
            seen = await Channel.filter(name=name).using_db(self._database.reader).first()
            want = wanted(seen)
            channel = seen or Channel(name=name, created_at=self._clock(), settings={}, revision=0)
            settings: dict[str, Any] = channel.settings
            warnings: Sequence[str] = ()
            if want.check:
                settings, warnings = await self._settings.check(
                    want.spec.plugin, want.spec.settings, channel
                )
            try:
                await self._changes.make(
                    partial(self._store, channel, want, settings, new=seen is None, by=by)
                )
            except _MovedError:
                continue
            self._queue.ring([name])
            warnings = [*warnings, *self._settings.undrilled(channel)]
            return Written(channel, created=seen is None, warnings=warnings)
        raise UnavailableError("The channel is being changed all the time; try again.")

    async def _store(
        self,
        channel: Channel,
        want: Wanted,
        settings: dict[str, Any],
        transaction: Transaction,
        *,
        new: bool,
        by: str | None,
    ) -> None:
        """Store a channel, unless another change came first."""
        stored = await Channel.filter(name=channel.name).using_db(transaction.client).first()
        if (stored is None) != new or (stored and stored.revision != channel.revision):
            raise _MovedError
        spec, now = want.spec, self._clock()
        before, old_settings = None if new else channel_state(channel), channel.settings
        drilled = (channel.verify_every, channel.enabled)
        await rewritten(
            transaction,
            channel,
            plugin_changed=want.check and not new,
            rate_changed=(spec.rate, spec.burst) != (channel.rate, channel.burst),
            now=now,
        )
        channel.update_from_dict(
            dataclasses.asdict(spec)
            | {
                "settings": settings,
                "retry_schedule": list(spec.retry_schedule),
                "revision": channel.revision + 1,
                "updated_at": now,
            }
        )
        await channel.save(using_db=transaction.client, force_create=new)
        if want.check or drilled != (spec.verify_every, spec.enabled):
            spread = random.random()  # noqa: S311 - jitter, not a secret
            await schedule_drill(transaction, channel, now=now, spread=spread)
        action = Action.CHANNEL_CREATED if new else Action.CHANNEL_CHANGED
        trace = Trace(action, channel.name, before, written_state(channel, old_settings))
        await leave(transaction, trace, by=by, at=now)


def _changed(channel: Channel, changes: Mapping[str, Any]) -> ChannelSpec:
    """Return what a channel is to be after a change; secrets that stay are masked."""
    names = [one.name for one in dataclasses.fields(ChannelSpec)]
    settings = masked(channel.settings) | changes.get("settings", {})
    return ChannelSpec(
        **{name: getattr(channel, name) for name in names}
        | dict(changes)
        | {"settings": {name: value for name, value in settings.items() if value is not None}}
    )


async def find_channel(name: str, client: BaseDBAsyncClient) -> Channel:
    """Find a channel, whatever the case its name is written in.

    Raises:
        NotFoundError: there is none of this name.
    """
    channel = await Channel.filter(name=name.strip().lower()).using_db(client).first()
    if channel is None:
        raise NotFoundError("channel", name)
    return channel
