"""Plugins: what was found, each with its settings' schema, and what is broken and why."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from almenara.api.authorization import READS_CONFIG
from almenara.api.dependencies import PartsNeeded
from almenara.loader import BrokenPlugin, FoundPlugin
from almenara.plugin import PluginSettings, secret_fields

router = APIRouter(prefix="/v1", tags=["plugins"])


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


class BrokenPluginOut(BaseModel):
    """A plugin that cannot be used, and why."""

    name: str | None
    directory: str
    file: str
    reason: str
    traceback: str | None


class PluginList(BaseModel):
    """Every plugin, by name."""

    data: list[PluginOut]
    broken: list[BrokenPluginOut]


@router.get("/plugins", dependencies=[READS_CONFIG])
async def list_plugins(parts: PartsNeeded) -> PluginList:
    """List what the plugin directories hold."""
    return PluginList(
        data=[_found_out(one) for one in parts.plugins.found],
        broken=[_broken_out(one) for one in parts.plugins.broken],
    )


def _found_out(plugin: FoundPlugin) -> PluginOut:
    settings = plugin.settings
    return PluginOut(
        name=plugin.name,
        qualified_name=plugin.qualified_name,
        source=plugin.source,
        file=str(plugin.file),
        revision=plugin.revision,
        settings_schema=_schema(settings) if settings else None,
        secret_fields=sorted(secret_fields(settings)) if settings else [],
        verifies=plugin.verifies,
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
    )
