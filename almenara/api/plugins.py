"""Plugins: what was found, each with its settings' schema, and what is broken and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from almenara.api.authorization import READS_CONFIG
from almenara.api.dependencies import PartsNeeded
from almenara.loader import BrokenPlugin, FoundPlugin
from almenara.plugin import PluginSettings, secret_fields
from almenara.processes import Process

router = APIRouter(prefix="/v1", tags=["plugins"])


class DifferingOut(BaseModel):
    """Another process, which does not run a plugin as the one that answers does."""

    #: Such as ``4711@worker-1``.
    process: str
    #: ``server`` or ``worker``.
    role: str
    #: ``None``: it has no such plugin.
    revision: str | None
    #: Why it cannot use it, or the newest version of it.
    reason: str | None


class PluginOut(BaseModel):
    """A plugin that can be used."""

    name: str
    qualified_name: str
    source: str
    file: str
    revision: str
    #: JSON Schema of a channel's settings; ``None``: it takes none.
    settings_schema: dict[str, Any] | None
    secret_fields: list[str]
    #: Whether it has a silent check, see `POST /v1/channels/{name}/verify`.
    verifies: bool
    #: The processes that run another revision, have none, or have it broken.
    differing: list[DifferingOut]


class BrokenPluginOut(BaseModel):
    """A plugin that cannot be used, and why."""

    name: str | None
    directory: str
    file: str
    reason: str
    traceback: str | None
    #: The revision of an earlier version that runs on; ``None``: nothing does.
    runs_on: str | None


class ElsewhereOut(DifferingOut):
    """A plugin that the process that answers does not have, and another has."""

    qualified_name: str


class PluginList(BaseModel):
    """Every plugin, by name."""

    data: list[PluginOut]
    broken: list[BrokenPluginOut]
    #: What other processes have, and this one has not.
    elsewhere: list[ElsewhereOut]


@router.get("/plugins", dependencies=[READS_CONFIG])
async def list_plugins(parts: PartsNeeded) -> PluginList:
    """List what the plugin directories hold, as this process has taken it up.

    Every process looks for itself, so for a moment after a change they differ.
    """
    found, broken = list(parts.plugins.found), list(parts.plugins.broken)
    others = await parts.processes.others()
    here = {one.qualified_name for one in found}
    elsewhere = [
        ElsewhereOut(qualified_name=name, **_as_it_is(name, process).model_dump())
        for process in others
        for name in process.revisions
        if name not in here
    ]
    return PluginList(
        data=[_found_out(one, others) for one in found],
        broken=[_broken_out(one) for one in broken],
        elsewhere=sorted(elsewhere, key=lambda one: (one.qualified_name, one.process)),
    )


def _as_it_is(qualified_name: str, process: Process) -> DifferingOut:
    """Say what another process has of a plugin."""
    directory = qualified_name.rpartition(".")[0]
    broken = process.broken
    return DifferingOut(
        process=process.name,
        role=process.role,
        revision=process.revisions.get(qualified_name),
        reason=broken.get(qualified_name) or broken.get(directory),
    )


def _found_out(plugin: FoundPlugin, others: Sequence[Process]) -> PluginOut:
    settings = plugin.settings
    as_they_are = [_as_it_is(plugin.qualified_name, process) for process in others]
    return PluginOut(
        name=plugin.name,
        qualified_name=plugin.qualified_name,
        source=plugin.source,
        file=str(plugin.file),
        revision=plugin.revision,
        settings_schema=_schema(settings) if settings else None,
        secret_fields=sorted(secret_fields(settings)) if settings else [],
        verifies=plugin.verifies,
        differing=[one for one in as_they_are if one.revision != plugin.revision],
    )


def _schema(settings: type[PluginSettings]) -> dict[str, Any]:
    """Describe a plugin's settings; types of the author's own may have no schema."""
    try:
        return settings.model_json_schema()
    except PydanticInvalidForJsonSchema:
        return {"title": settings.__name__, "type": "object"}


def _broken_out(plugin: BrokenPlugin) -> BrokenPluginOut:
    return BrokenPluginOut(
        name=plugin.name,
        directory=plugin.directory,
        file=str(plugin.file),
        reason=plugin.reason,
        traceback=plugin.traceback,
        runs_on=plugin.runs_on,
    )
