"""The built plugins of this process: one per channel and revision, where a class has settings."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

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
        self._retired: list[object] = []

    def build(self, channel: ChannelRoute) -> Instance:
        """Return the channel's plugin, built if need be.

        It may block, so call it in a thread.

        Raises:
            PluginError: it cannot be found or built.
            InvalidInputError: its settings are not complete in this process.
            ConfigurationError: a secret does not open.
        """
        found = self._plugins.get(channel.plugin)
        kept = self._kept.get(channel.id)
        if kept is not None and kept[:2] == (channel.revision, found.revision):
            return kept[2]
        instance = self._plugins.build(found, self._vault.open(channel.settings, place=channel.id))
        if found.settings is not None:
            if kept is not None:
                self._retired.append(kept[2].target)
            self._kept[channel.id] = (channel.revision, found.revision, instance)
        return instance

    async def close_retired(self) -> None:
        """Close the instances that later ones replaced; attempts under way may still end."""
        while self._retired:
            await _close(self._retired.pop())

    async def close(self) -> None:
        """Close every instance that has something to close."""
        self._retired += [instance.target for _, _, instance in self._kept.values()]
        self._kept.clear()
        await self.close_retired()


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
