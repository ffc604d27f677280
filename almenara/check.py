"""What is wrong with this set-up, found before serving."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from almenara.auth import open_authenticator
from almenara.database import Database
from almenara.dispatch import describe
from almenara.errors import (
    AlmenaraError,
    ConfigurationError,
    InvalidInputError,
    UnavailableError,
)
from almenara.loader import Plugins, find_loose
from almenara.machine import Finding, Level, look_at_clock, look_at_disk, look_at_versions
from almenara.migrations import is_empty, missing_migrations
from almenara.routing import ChannelRoute, Routing
from almenara.secrets import Vault, open_vault
from almenara.sending import opened, require_celery, utc_now
from almenara.settings import Settings
from almenara.tracing import look_at_collector


async def check_set_up(settings: Settings) -> list[Finding]:
    """Look at the database, the key, the plugins and the channels; change nothing that matters.

    An SQLite database that is being served is not opened; ask the server's ``/readyz`` instead.
    """
    plugins = Plugins(settings.plugins_dir)
    await asyncio.to_thread(plugins.load)
    findings = _plugins(plugins)
    level: Level = "error" if settings.strict else "warning"
    findings += [
        Finding(f"plugin file {one.path}", level, one.reason)
        for one in await asyncio.to_thread(find_loose, settings.plugins_dir)
    ]
    try:
        async with opened(settings) as database:
            findings += await _database(database, settings, plugins)
    except ConfigurationError as error:
        findings.append(Finding("database", "error", error.message))
    findings += look_at_disk(settings)
    findings.append(await _tokens(settings))
    if settings.broker_url is not None:
        findings.append(await asyncio.to_thread(_broker, settings))
    if settings.traces == "on":
        findings.append(await _traces(settings))
    return findings


async def _tokens(settings: Settings) -> Finding:
    """Look whether tokens can be verified, or none are needed."""
    try:
        authenticator = open_authenticator(settings)
    except ConfigurationError as error:
        return Finding("tokens", "error", error.message)
    if authenticator is not None:
        trouble = await authenticator.look()
        if trouble is not None:
            return Finding("tokens", "error", trouble)
        return Finding("tokens", "ok", f"Those of {', '.join(authenticator.names)} are trusted.")
    if settings.on_loopback:
        return Finding("tokens", "ok", "None are asked for: only this machine reaches the server.")
    sentence = f"None are asked for, and others reach {settings.host}; set ALMENARA_JWT_ISSUER."
    return Finding("tokens", "warning", sentence)


def _broker(settings: Settings) -> Finding:
    """Connect to the broker and make its lines, as a server does at its start."""
    try:
        require_celery()
        from almenara.queues.celery import CeleryBell

        bell = CeleryBell(settings)
        try:
            bell.probe()
            version = bell.version()
        finally:
            bell.close()
    except (ConfigurationError, UnavailableError) as error:
        return Finding("broker", "error", error.message)
    return Finding(
        "broker", "ok", f"RabbitMQ {version} answers, and has the lines in which rings wait."
    )


async def _traces(settings: Settings) -> Finding:
    """Try whether the collector takes spans; without it, messages go as they do."""
    try:
        takes_them = await look_at_collector(settings)
    except ConfigurationError as error:
        return Finding("traces", "error", error.message)
    if takes_them:
        return Finding("traces", "ok", "The collector takes them.")
    sentence = "The collector does not take them; see OTEL_EXPORTER_OTLP_ENDPOINT and its headers."
    return Finding("traces", "warning", sentence)


def _plugins(plugins: Plugins) -> list[Finding]:
    names = ", ".join(plugin.name for plugin in plugins.found)
    findings = [Finding("plugins", "ok", f"Found {names}.")]
    findings += [
        Finding(f"plugin {broken.name or broken.directory}", "error", broken.reason)
        for broken in plugins.broken
    ]
    return findings


async def _database(database: Database, settings: Settings, plugins: Plugins) -> list[Finding]:
    warnings = [Finding("database", "warning", one) for one in await database.warnings()]
    has_tables = not await is_empty(database)
    return [
        *warnings,
        await look_at_versions(database),
        await look_at_clock(database, utc_now, has_tables=has_tables),
        *await _rows(database, settings, plugins),
    ]


async def _rows(database: Database, settings: Settings, plugins: Plugins) -> list[Finding]:
    if await is_empty(database):
        return [Finding("database", "ok", "It is empty; `almenara serve` will make the tables.")]
    missing = await missing_migrations(database)
    if missing:
        return [
            Finding(
                "database",
                "error",
                f"Its schema is older than this version ({missing[0]} is missing). Make a backup, "
                "then run `almenara migrate`, or start with `almenara serve --migrate`.",
            )
        ]
    findings = [Finding("database", "ok", f"{database.dialect}, the schema is current.")]
    try:
        vault = open_vault(settings)
    except ConfigurationError as error:
        return [*findings, Finding("secret key", "error", error.message)]
    table = await Routing(database).refresh()
    findings += [await _channel(channel, plugins, vault) for channel in table.channels.values()]
    nowhere = "It has no enabled channel: its messages are stored, and sent nowhere."
    findings += [
        Finding(f"topic {topic.name}", "warning", nowhere)
        for topic in table.topics.values()
        if not table.channels_of(topic)
    ]
    return findings


async def _channel(channel: ChannelRoute, plugins: Plugins, vault: Vault) -> Finding:
    """Build the channel's plugin as an attempt would: in a thread, or where the loop runs."""
    finding = await asyncio.to_thread(_build, channel, plugins, vault)
    # A constructor that opens a session wants the loop, and here it may hold it up.
    return _build(channel, plugins, vault) if finding.level == "error" else finding


def _build(channel: ChannelRoute, plugins: Plugins, vault: Vault) -> Finding:
    subject = f"channel {channel.name}"
    try:
        opened = vault.open_for_sending(channel.settings, place=channel.id)
        plugins.build(plugins.get(channel.plugin), opened.values, hidden=opened.hidden)
    except InvalidInputError as error:
        return Finding(subject, "error", _fields(error))
    except AlmenaraError as error:
        return Finding(subject, "error", describe(error, ()))
    if not channel.enabled:
        return Finding(subject, "warning", "It is disabled; what waits for it keeps waiting.")
    return Finding(subject, "ok", f"{channel.plugin} can be built.")


def _fields(error: InvalidInputError) -> str:
    parts: Sequence[str] = [f"{one.field}: {one.message}" for one in error.errors]
    return " ".join(parts) or error.message
