"""The settings of a channel: checked against its plugin, its secrets sealed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from almenara.dispatch import in_thread
from almenara.errors import BrokenPluginError, FieldError, InvalidInputError, PluginError
from almenara.loader import FoundPlugin, Plugins
from almenara.models import Channel
from almenara.plugin import secret_fields
from almenara.secrets import MASK, Vault, is_sealed

#: A plugin's own checks of its settings have so long, in seconds.
_CHECK_SECONDS = 10.0


class SettingsCheck:
    """Checks and seals what somebody wrote into a channel's settings."""

    def __init__(self, plugins: Plugins, vault: Vault) -> None:
        self._plugins = plugins
        self._vault = vault

    async def check(
        self, plugin_name: str, settings: Mapping[str, Any], stored: Channel
    ) -> tuple[dict[str, Any], Sequence[str]]:
        """Return the settings as they are stored, and warnings.

        It runs the plugin author's code, so never call it inside a transaction.

        Args:
            settings: in clear; a secret that is written as the mask stays as it is.
            stored: the channel as it stands; a new one has no settings yet.

        Raises:
            InvalidInputError: the plugin is not found, or its settings are wrong: names each field.
        """
        try:
            plugin = self._plugins.get(plugin_name)
            names = secret_fields(plugin.settings) if plugin.settings else frozenset()
            clear = self._with_kept_secrets(settings, stored, names)
            known, nowhere = self._vault.check_references(clear)
            absent = tuple(f"settings.{name} is not given" for name in clear.keys() - known.keys())
            asked = await self._ask(plugin, known)
            warnings = [*nowhere, *(one for one in asked if not one.startswith(absent))]
        except PluginError as error:
            wrong = FieldError(field="plugin", code=error.code, message=error.message)
            raise InvalidInputError(error.message, errors=[wrong], code=error.code) from error
        return self._vault.seal(clear, names, place=str(stored.id)), warnings

    def undrilled(self, channel: Channel) -> Sequence[str]:
        """Return a warning where a channel has a schedule of drills, and its plugin no check."""
        try:
            idle = bool(channel.verify_every) and not self._plugins.get(channel.plugin).verifies
        except PluginError:
            return ()
        if not idle:
            return ()
        return (f"verify_every: the plugin {channel.plugin} has no silent check to be made.",)

    async def _ask(self, plugin: FoundPlugin, clear: Mapping[str, Any]) -> Sequence[str]:
        """Let the plugin check its settings, in a thread that may hang without holding us up."""
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                warnings, error = await in_thread(self._plugins.check, plugin, clear)
        except TimeoutError as late:
            raise BrokenPluginError(
                f"The plugin {plugin.qualified_name} checks its settings for longer than "
                f"{_CHECK_SECONDS:g} s."
            ) from late
        if error is not None:
            raise error
        return list(warnings)

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
