"""`plugins check`: a plugin against the contract, before it has a channel."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from almenara.cli.assignments import read_assignments
from almenara.cli.exits import ExitCode
from almenara.cli.output import print_line
from almenara.errors import PluginError

if TYPE_CHECKING:
    from almenara.loader import FoundPlugin

#: In a setting, stands for the address of the service that the plugin is tried against.
SERVICE = "SERVICE"


def check_plugin(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The plugin's directory.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help=f"A setting, as of `plugins try`; {SERVICE} in it is the address of the service "
            "that is put up for the plugin.",
        ),
    ] = None,
) -> None:
    """Load the plugins of a directory, show their settings, and try them against the contract.

    Example: `almenara plugins check plugins/pager --set url=SERVICE/topic`

    Ends with 1 when a rule does not hold. A plugin may know its service better than the table of
    statuses does: then its own tests say so.
    """
    from almenara.loader import Plugins

    directory = path.absolute()
    plugins = Plugins(directory.parent, shipped=False)
    plugins.load()
    broken = [one for one in plugins.broken if one.directory == directory.name]
    for one in broken:
        print_line(f"BROKEN {one.file}: {one.reason}")
        if one.traceback:
            print_line(one.traceback.rstrip())
    found = [one for one in plugins.found if one.file.parent == directory]
    if not found and not broken:
        raise PluginError(f"There is no plugin in {path}: no `*.py` with a class that sends.")
    values = read_assignments(settings or [])
    bad = bool(broken)
    for plugin in found:
        print_line(f"{plugin.qualified_name} ({plugin.file})")
        bad |= _check(plugin.cls, values)
        _tell_missing(path, plugin, values)
    if bad:
        raise typer.Exit(ExitCode.NOT_DONE)


def _check(plugin: type, values: Mapping[str, Any]) -> bool:
    """Print what was found of one class; tell whether something is wrong."""
    from almenara.plugin import secret_fields, settings_class
    from almenara.testing import check_contract

    declared = settings_class(plugin)
    if declared is not None:
        secrets = secret_fields(declared)
        for name, field in declared.model_fields.items():
            written = field.alias or name
            marks = [*(["needed"] if field.is_required() else [])]
            marks += ["secret"] if written in secrets else []
            told = f" ({', '.join(marks)})" if marks else ""
            print_line(f"  setting {written}{told}: {field.description or 'no description'}")
    findings = asyncio.run(check_contract(plugin, lambda url: _at(values, url)))
    for one in findings:
        detail = f": {one.detail}" if one.detail and not one.ok else ""
        print_line(f"  {'ok     ' if one.ok else 'WRONG  '}{one.rule}{detail}")
    return not all(one.ok for one in findings)


def _tell_missing(path: Path, plugin: FoundPlugin, values: Mapping[str, Any]) -> None:
    """Say how to give what a plugin needs, where it was not given."""
    fields = plugin.settings.model_fields.items() if plugin.settings else ()
    needed = [field.alias or name for name, field in fields if field.is_required()]
    missing = [name for name in needed if name not in values]
    if missing:
        given = " ".join(f"--set {name}=..." for name in missing)
        print_line(
            f"  Give what it needs: almenara plugins check {path} {given} ({SERVICE} stands for "
            "the address of the service that is put up for it)."
        )


def _at(values: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Return the settings with the service's address in its place."""
    return {
        name: value.replace(SERVICE, url) if isinstance(value, str) else value
        for name, value in values.items()
    }
