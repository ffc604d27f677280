"""Channels: read, written with their secrets sealed, deleted."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
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
from almenara.secrets import MASK, Vault, is_sealed


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
            now = self._clock()
            channel = stored or Channel(name=spec.name, created_at=now, settings={}, revision=0)
            settings, warnings = await self._check_settings(spec, channel)
            channel.update_from_dict(
                dataclasses.asdict(spec)
                | {
                    "settings": settings,
                    "retry_schedule": list(spec.retry_schedule),
                    "revision": channel.revision + 1,
                    "updated_at": now,
                }
            )
            await channel.save(using_db=transaction.client, force_create=stored is None)
            return Written(channel, created=stored is None, warnings=warnings)

        written = await self._changes.make(work)
        self._queue.ring([spec.name])
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

    async def _check_settings(
        self, spec: ChannelSpec, stored: Channel
    ) -> tuple[dict[str, Any], Sequence[str]]:
        """Check the settings against the plugin's, and return them as they are stored."""
        place = str(stored.id)
        try:
            plugin = self._plugins.get(spec.plugin)
        except PluginError as error:
            wrong = FieldError(field="plugin", code=error.code, message=error.message)
            raise InvalidInputError(error.message, errors=[wrong], code=error.code) from error
        secret_names = secret_fields(plugin.settings) if plugin.settings else frozenset()
        unchanged = {
            name: stored.settings[name]
            for name, value in spec.settings.items()
            if value == MASK and is_sealed(stored.settings.get(name))
        }
        clear = spec.settings | self._vault.open(unchanged, place=place)
        warnings = await asyncio.to_thread(self._plugins.check, plugin, clear)
        return self._vault.seal(clear, secret_names, place=place), warnings


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
