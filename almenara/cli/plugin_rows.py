"""What of a plugin is shown on a terminal: its settings, and where another revision runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from almenara.cli.output import one_line


def differing_rows(listed: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return what other processes have otherwise than the server that answered, one a row."""
    differing = [
        {**process, "qualified_name": plugin["qualified_name"]}
        for plugin in listed["data"]
        for process in plugin.get("differing", ())
    ]
    return [
        (
            one["qualified_name"],
            one["process"],
            one["role"],
            one["revision"] or "has none",
            one_line(one["reason"] or "", 1000),
        )
        for one in [*differing, *listed.get("elsewhere", ())]
    ]


def newer_reasons(plugin: Mapping[str, Any], listed: Mapping[str, Any]) -> list[str]:
    """Return why a newer version of a plugin does not run in its place."""
    directory = plugin["qualified_name"].rpartition(".")[0]
    return [
        one_line(one["reason"], 1000)
        for one in listed["broken"]
        if one.get("runs_on") == plugin["revision"] and one["directory"] == directory
    ]


def settings_rows(plugin: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a plugin's settings, one a row."""
    schema = plugin["settings_schema"] or {}
    return [
        (
            name,
            _type_of(field, schema),
            "yes" if name in schema.get("required", []) else "",
            _default_of(field),
            "yes" if name in plugin["secret_fields"] else "",
            one_line(field.get("description", ""), 1000),
        )
        for name, field in schema.get("properties", {}).items()
    ]


def _default_of(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    if default is None:
        return ""
    return default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)


def _type_of(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return the type of a field of a JSON Schema in a few words."""
    if "$ref" in field:
        definition = schema.get("$defs", {}).get(field["$ref"].rpartition("/")[2], {})
        return _type_of(definition, schema)
    if "enum" in field:
        return " | ".join(str(value) for value in field["enum"])
    if "const" in field:
        return str(field["const"])
    for way in ("anyOf", "oneOf", "allOf"):
        if way in field:
            parts = [_type_of(part, schema) for part in field[way]]
            return " | ".join(part for part in dict.fromkeys(parts) if part != "null")
    if field.get("type") == "array":
        return f"list of {_type_of(field.get('items', {}), schema)}"
    return str(field.get("type", "anything"))
