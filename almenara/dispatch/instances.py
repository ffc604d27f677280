"""The built plugins of this process: one per channel and revision, where a class has settings."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from typing import Any

from almenara.deliveries import LEASE
from almenara.loader import Instance, Plugins
from almenara.routing import ChannelRoute
from almenara.secrets import Vault
from almenara.telemetry import get_logger

log = get_logger("dispatch")


class Instances:
    """Builds plugins from channels; keeps those that have settings until their channel changes."""

    def __init__(self, plugins: Plugins, vault: Vault) -> None:
        self._plugins = plugins
        self._vault = vault
        self._kept: dict[str, tuple[int, str, Instance]] = {}
        #: What later ones replaced, and when, by the monotonic clock.
        self._retired: list[tuple[float, object]] = []
        #: By channel: a constructor that hangs holds up nobody else's.
        self._building: dict[str, threading.Lock] = {}

    def kept(self, channel: ChannelRoute) -> Instance | None:
        """Return the channel's plugin if it is built already; never blocks.

        Raises:
            PluginError: it cannot be found any more.
        """
        revision, found_revision, instance = self._kept.get(channel.id, (0, "", None))
        if revision != channel.revision:
            return None
        current = self._plugins.get(channel.plugin).revision
        return instance if found_revision == current else None

    def carry_attachments(self, channel: ChannelRoute) -> bool:
        """Tell whether the channel's plugin sends files.

        Raises:
            PluginError: it cannot be found any more.
        """
        return getattr(self._plugins.get(channel.plugin).cls, "carries_attachments", False) is True

    def build(self, channel: ChannelRoute) -> Instance:
        """Return the channel's plugin, built if need be.

        It may block, so call it in a thread.

        Raises:
            PluginError: it cannot be found or built.
            InvalidInputError: its settings are not complete in this process.
            ConfigurationError: a secret does not open.
        """
        found = self._plugins.get(channel.plugin)
        opened = self._vault.open_for_sending(channel.settings, place=channel.id)
        if found.settings is None:
            return self._plugins.build(found, opened.values, hidden=opened.hidden)
        with self._building.setdefault(channel.id, threading.Lock()):
            # Attempts of one channel that begin together must not build it more than once.
            instance = self.kept(channel)
            if instance is None:
                instance = self._plugins.build(found, opened.values, hidden=opened.hidden)
                old = self._kept.get(channel.id)
                if old is not None:
                    self._retired.append((time.monotonic(), old[2].target))
                self._kept[channel.id] = (channel.revision, found.revision, instance)
            return instance

    async def close_retired(self) -> None:
        """Close the instances that were replaced so long ago that no attempt can still use them."""
        while self._retired and time.monotonic() - self._retired[0][0] > LEASE.total_seconds():
            await _close(self._retired.pop(0)[1])

    async def close(self) -> None:
        """Close every instance that has something to close."""
        targets = [target for _, target in self._retired]
        targets += [instance.target for _, _, instance in self._kept.values()]
        self._kept.clear()
        self._retired.clear()
        for target in targets:
            await _close(target)


async def _close(target: Any) -> None:
    """Call a plugin's ``close``, if it has one; what it raises is only logged."""
    close = getattr(target, "close", None)
    if not callable(close):
        return
    try:
        ending = close()
        if inspect.isawaitable(ending):
            await asyncio.wait_for(ending, timeout=2)
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        log.warning("plugin_close_failed", plugin=type(target).__name__, error=type(error).__name__)
