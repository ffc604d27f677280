"""The built plugins of this process: one per channel and revision, where a class has settings."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Sequence
from typing import Any

from almenara.loader import Instance, Plugins
from almenara.routing import ChannelRoute
from almenara.secrets import Vault
from almenara.telemetry import get_logger

log = get_logger("dispatch")


class Instances:
    """Builds plugins from channels; keeps those that have settings until channel or code changes.

    What is given out is in use until :meth:`let_go_after`: one that was replaced meanwhile is
    closed when no call uses it any more, and not before.
    """

    def __init__(self, plugins: Plugins, vault: Vault) -> None:
        self._plugins = plugins
        self._vault = vault
        #: By channel: its revision, and what was built for it.
        self._kept: dict[str, tuple[int, Instance]] = {}
        #: What was replaced, and is to be closed.
        self._retired: list[Instance] = []
        #: Attempts begin and end on the event loop, and build in threads.
        self._guard = threading.Lock()
        #: By channel: a constructor that hangs holds up nobody else's.
        self._building: dict[str, threading.Lock] = {}

    def kept(self, channel: ChannelRoute) -> Instance | None:
        """Return the channel's plugin, in use now, if it is built already; never blocks.

        Raises:
            PluginError: it cannot be found any more.
        """
        current = self._plugins.get(channel.plugin)
        with self._guard:
            revision, instance = self._kept.get(channel.id, (0, None))
            if instance is None or revision != channel.revision or instance.plugin is not current:
                return None
            instance.user_count += 1
            return instance

    def carry_attachments(self, channel: ChannelRoute) -> bool:
        """Tell whether the channel's plugin sends files.

        Raises:
            PluginError: it cannot be found any more.
        """
        return getattr(self._plugins.get(channel.plugin).cls, "carries_attachments", False) is True

    def build(self, channel: ChannelRoute) -> Instance:
        """Return the channel's plugin, in use now, built if need be.

        It may block, so call it in a thread.

        Raises:
            PluginError: it cannot be found or built.
            InvalidInputError: its settings are not complete in this process.
            ConfigurationError: a secret does not open.
        """
        found = self._plugins.get(channel.plugin)
        opened = self._vault.open_for_sending(channel.settings, place=channel.id)
        if found.settings is None:
            instance = self._plugins.build(found, opened.values, hidden=opened.hidden)
            instance.user_count = 1
            return instance
        with self._building.setdefault(channel.id, threading.Lock()):
            # Attempts of one channel that begin together must not build it more than once.
            kept = self.kept(channel)
            if kept is not None:
                return kept
            instance = self._plugins.build(found, opened.values, hidden=opened.hidden)
            instance.user_count = 1
            with self._guard:
                self._retire(channel.id)
                self._kept[channel.id] = (channel.revision, instance)
            return instance

    def let_go_after(self, used: Sequence[Instance], lingering: asyncio.Future[Any] | None) -> None:
        """Note that a call has ended, whatever it came to, or will with what lingers of it.

        Args:
            used: what it was given; what still builds may add to it.
        """
        if lingering is None:
            self._let_go(used)
        else:
            lingering.add_done_callback(lambda _: self._let_go(used))

    def retire_outdated(self) -> None:
        """Keep no longer what was built from classes that are not the current ones."""
        current = {id(plugin) for plugin in self._plugins.found}
        with self._guard:
            for channel_id, (_, instance) in list(self._kept.items()):
                if id(instance.plugin) not in current:
                    self._retire(channel_id)

    async def close_retired(self) -> None:
        """Close the instances that were replaced and that no call uses any more."""
        if not self._retired:
            return
        with self._guard:
            idle = [one for one in self._retired if not one.user_count]
            self._retired = [one for one in self._retired if one.user_count]
        for instance in idle:
            await _close(instance.target)

    async def close(self) -> None:
        """Close every instance that has something to close."""
        with self._guard:
            for channel_id in list(self._kept):
                self._retire(channel_id)
            retired, self._retired = self._retired, []
        for instance in retired:
            await _close(instance.target)

    def _let_go(self, used: Sequence[Instance]) -> None:
        with self._guard:
            for instance in used:
                instance.user_count -= 1

    def _retire(self, channel_id: str) -> None:
        kept = self._kept.pop(channel_id, None)
        if kept is not None:
            self._retired.append(kept[1])


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
