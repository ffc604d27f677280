"""Channels: read, written with their secrets sealed, deleted."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tortoise.backends.base.client import BaseDBAsyncClient

from almenara.catalogue.change import Changes
from almenara.database import Database, Transaction
from almenara.deliveries import Reason, cancel
from almenara.errors import ConflictError, FieldError, InvalidInputError, NotFoundError, PluginError
from almenara.loader import Plugins
from almenara.models import Channel, Topic, TopicChannel
from almenara.plugin import secret_fields
from almenara.queues.base import Queue
from almenara.retry import DEFAULT_SCHEDULE
from almenara.secrets import MASK, Vault, is_sealed, masked


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


@dataclass(frozen=True, slots=True)
class Written:
    """A channel that was written, and what its writer should know."""

    channel: Channel
    created: bool
    #: Required settings that are missing here and must come from the worker's environment.
    warnings: Sequence[str]


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
        self._plugins = plugins
        self._vault = vault
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
        return await _channel(name, self._database.reader)

    async def write(self, spec: ChannelSpec, *, create: bool, replace: bool) -> Written:
        """Create or replace a channel, its secrets sealed.

        Args:
            create: it may be new.
            replace: it may exist.

        Raises:
            ConflictError: it exists, and may not.
            NotFoundError: it does not exist, and must.
            InvalidInputError: the plugin is not found, or its settings are wrong: names each field.
        """

        async def work(transaction: Transaction) -> Written:
            stored = await Channel.filter(name=spec.name).using_db(transaction.client).first()
            if stored is not None and not replace:
                raise ConflictError(
                    f"There is a channel {spec.name!r} already; change it with PATCH or PUT.",
                    code="channel_exists",
                )
            if stored is None and not create:
                raise NotFoundError("channel", spec.name)
            channel = stored or Channel(
                name=spec.name, created_at=self._clock(), settings={}, revision=0
            )
            settings, warnings = await self._check_settings(spec, channel)
            await self._store(transaction, channel, spec, settings, new=stored is None)
            return Written(channel, created=stored is None, warnings=warnings)

        written = await self._changes.make(work)
        self._queue.ring([spec.name])
        return written

    async def change(self, name: str, changes: Mapping[str, Any]) -> Written:
        """Change what is given of a channel; changes at the same time do not undo each other.

        Args:
            changes: values by the names of :class:`ChannelSpec`; of ``settings`` those that are
                given, where ``None`` removes one.

        Raises:
            NotFoundError: there is none of this name.
            InvalidInputError: the plugin is not found, or its settings are wrong: names each field.
        """

        async def work(transaction: Transaction) -> Written:
            channel = await _channel(name, transaction.client)
            spec = _changed(channel, changes)
            settings: dict[str, Any] = channel.settings
            warnings: Sequence[str] = ()
            # A channel whose plugin is broken or gone can still be disabled.
            if changes.keys() & {"plugin", "settings"}:
                settings, warnings = await self._check_settings(spec, channel)
            await self._store(transaction, channel, spec, settings)
            return Written(channel, created=False, warnings=warnings)

        written = await self._changes.make(work)
        self._queue.ring([written.channel.name])
        return written

    async def delete(self, name: str, *, force: bool) -> None:
        """Delete a channel.

        Args:
            force: take it out of its topics, and cancel what waits for it.

        Raises:
            NotFoundError: there is none of this name.
            ConflictError: it is in use; names the topics, or counts the deliveries that wait.
        """

        async def work(transaction: Transaction) -> None:
            client = transaction.client
            channel = await _channel(name, client)
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
                await _refuse_if_used(transaction, channel)
            await channel.delete(using_db=client)

        await self._changes.make(work)

    async def _store(
        self,
        transaction: Transaction,
        channel: Channel,
        spec: ChannelSpec,
        settings: dict[str, Any],
        *,
        new: bool = False,
    ) -> None:
        channel.update_from_dict(
            dataclasses.asdict(spec)
            | {
                "settings": settings,
                "retry_schedule": list(spec.retry_schedule),
                "revision": channel.revision + 1,
                "updated_at": self._clock(),
            }
        )
        await channel.save(using_db=transaction.client, force_create=new)

    async def _check_settings(
        self, spec: ChannelSpec, stored: Channel
    ) -> tuple[dict[str, Any], Sequence[str]]:
        """Check the settings against the plugin's, and return them as they are stored."""
        try:
            plugin = self._plugins.get(spec.plugin)
            names = secret_fields(plugin.settings) if plugin.settings else frozenset()
            clear = self._with_kept_secrets(spec.settings, stored, names)
            warnings = await asyncio.to_thread(self._plugins.check, plugin, clear)
        except PluginError as error:
            wrong = FieldError(field="plugin", code=error.code, message=error.message)
            raise InvalidInputError(error.message, errors=[wrong], code=error.code) from error
        return self._vault.seal(clear, names, place=str(stored.id)), warnings

    def _with_kept_secrets(
        self, settings: Mapping[str, Any], stored: Channel, names: Collection[str]
    ) -> dict[str, Any]:
        """Return the settings in clear, with the stored value of each secret that is masked."""
        kept: dict[str, Any] = {}
        wrong: list[FieldError] = []
        for name, value in settings.items():
            if is_sealed(value):
                message = "Write the value itself; sealed ones are the database's own."
                wrong.append(_wrong(name, code="value_not_allowed", message=message))
            elif name in names and value == MASK:
                kept[name] = stored.settings.get(name)
                if not is_sealed(kept[name]):
                    message = "No secret is stored that could stay as it is: write the secret."
                    wrong.append(_wrong(name, code="secret_missing", message=message))
        if wrong:
            raise InvalidInputError(f"{wrong[0].field}: {wrong[0].message}", errors=wrong)
        return dict(settings) | self._vault.open(kept, place=str(stored.id))


def _wrong(name: str, *, code: str, message: str) -> FieldError:
    return FieldError(field=f"settings.{name}", code=code, message=message)


def _changed(channel: Channel, changes: Mapping[str, Any]) -> ChannelSpec:
    """Return what a channel is to be after a change; secrets that stay are masked."""
    names = [one.name for one in dataclasses.fields(ChannelSpec)]
    settings = masked(channel.settings) | changes.get("settings", {})
    return ChannelSpec(
        **{name: getattr(channel, name) for name in names}
        | dict(changes)
        | {"settings": {name: value for name, value in settings.items() if value is not None}}
    )


async def _refuse_if_used(transaction: Transaction, channel: Channel) -> None:
    links = TopicChannel.filter(channel_id=channel.id).using_db(transaction.client)
    topics = await Topic.filter(id__in=[link.topic_id for link in await links]).using_db(
        transaction.client
    )
    if topics:
        names = ", ".join(sorted(topic.name for topic in topics))
        raise ConflictError(
            f"The channel {channel.name!r} is used by: {names}. Take it out of them first, or add "
            "?force=true.",
            code="channel_in_use",
        )
    waiting = await transaction.fetch(
        "SELECT id FROM delivery WHERE channel = $1"
        " AND status IN ('pending', 'sending', 'held') LIMIT 1",
        channel.name,
    )
    if waiting:
        raise ConflictError(
            f"Deliveries wait for the channel {channel.name!r}. Wait until they are sent, or "
            "cancel them with ?force=true.",
            code="channel_has_deliveries",
        )


async def _channel(name: str, client: BaseDBAsyncClient) -> Channel:
    channel = await Channel.filter(name=name.strip().lower()).using_db(client).first()
    if channel is None:
        raise NotFoundError("channel", name)
    return channel
