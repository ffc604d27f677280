"""The commands for plugins: what the server found, what is broken, and a new one to start from."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from almenara.cli.checking import check_plugin
from almenara.cli.client import Answer, connect
from almenara.cli.groups import new_group
from almenara.cli.output import (
    Column,
    one_line,
    print_fields,
    print_json,
    print_line,
    print_table,
)
from almenara.cli.plugin_rows import differing_rows, newer_reasons, settings_rows
from almenara.cli.scaffold import write_skeleton
from almenara.cli.trying import try_plugin
from almenara.cli.words import AsJson
from almenara.errors import NotFoundError, PluginError
from almenara.settings import read_settings

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The class, as `Email` or as `email.Email`.")
]


def list_plugins(as_json: AsJson = False) -> None:
    """List the plugins that the server found, and those that are broken, with the reason."""
    answer = connect().get("/v1/plugins")
    if as_json:
        print_json(answer)
        return
    print_table(
        (Column("plugin"), Column("qualified name"), Column("source"), Column("file")),
        [
            (one["name"], one["qualified_name"], one["source"], one["file"])
            for one in answer.body["data"]
        ],
        empty="No plugins.",
    )
    broken = answer.body["broken"]
    if broken:
        print_line("")
        print_table(
            (Column("broken"), Column("runs on", whole=True), Column("file"), Column("reason")),
            [
                (
                    one["name"] or one["directory"],
                    one.get("runs_on") or "",
                    one["file"],
                    one_line(one["reason"], 1000),
                )
                for one in broken
            ],
        )
    _print_differing(differing_rows(answer.body))


def show_plugin(name: Name, as_json: AsJson = False) -> None:
    """Show one plugin with the settings that its channels take."""
    listed = connect().get("/v1/plugins").body
    plugin = _find(listed, name)
    if as_json:
        print_json(Answer(text=json.dumps(plugin, ensure_ascii=False), body=plugin))
        return
    print_fields(
        [
            ("plugin", plugin["name"]),
            ("qualified name", plugin["qualified_name"]),
            ("source", plugin["source"]),
            ("file", plugin["file"]),
            ("revision", plugin["revision"]),
            *(("newer version is broken", reason) for reason in newer_reasons(plugin, listed)),
        ]
    )
    print_line("")
    print_table(
        (
            Column("setting"),
            Column("type"),
            Column("required", whole=True),
            Column("default"),
            Column("secret", whole=True),
            Column("description"),
        ),
        settings_rows(plugin),
        empty="It takes no settings.",
    )
    _print_differing(differing_rows({"data": [plugin]}))


def new_plugin(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The directory's name, such as `threema`.")
    ],
) -> None:
    """Write the skeleton of a plugin, with its test, into the plugin directory.

    Example: `almenara plugins new threema`

    It is written below `ALMENARA_PLUGINS_DIR` (`plugins` when that is not set); nothing that is
    there is overwritten.
    """
    skeleton = write_skeleton(name)
    print_line(f"Wrote {skeleton.directory}: {', '.join(skeleton.files)}.")
    if skeleton.replaces_shipped:
        print_line(f"It stands in for the shipped plugin {skeleton.directory.name}.")
    print_line(
        f"Test it with `pytest {skeleton.directory}`; a running server has found it by then."
    )
    print_line(
        f"Then: almenara channels create my-{skeleton.directory.name} "
        f"--plugin {skeleton.class_name} --set url=-"
    )


def install_plugin(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The plugin's directory, such as `threema`.")
    ],
) -> None:
    """Install what a plugin of yours needs: the `requirements.txt` in its directory.

    Example: `almenara plugins install threema`

    It is installed by pip into the environment that this command runs in. A plugin that was broken
    without it is tried again by what runs there; another version of what is in use needs a restart.
    """
    requirements = read_settings().plugins_dir / name / "requirements.txt"
    if Path(name).name != name or not requirements.is_file():
        raise PluginError(f"There is no {requirements}: nothing to install for {name!r}.")
    command = [sys.executable, "-m", "pip", "install", "-r", str(requirements)]
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - argv, no shell; the operator's own file
        raise PluginError(f"pip could not install {requirements}; it says why above.")
    print_line(f"Installed what {name} needs; if it was broken, it is tried again now.")


plugins = new_group("Plugins: the classes that send.", list_plugins)
plugins.command("list")(list_plugins)
plugins.command("show")(show_plugin)
plugins.command("new")(new_plugin)
plugins.command("install")(install_plugin)
plugins.command("check")(check_plugin)
plugins.command("try")(try_plugin)


def _print_differing(rows: list[tuple[str, ...]]) -> None:
    """Show which processes run something else than the server that answered."""
    if rows:
        print_line("")
        names = ("differs", "process", "role", "revision", "reason")
        print_table([Column(name) for name in names], rows)


def _find(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the one plugin of a name, bare or with its directory."""
    matches = [one for one in found["data"] if name in {one["name"], one["qualified_name"]}]
    if len(matches) == 1:
        return dict(matches[0])
    if matches:
        names = " or ".join(one["qualified_name"] for one in matches)
        raise PluginError(f"Several plugins are named {name!r}: write {names}.")
    for broken in found["broken"]:
        if name in {broken["name"], f"{broken['directory']}.{broken['name']}"}:
            trace = f"\n{broken['traceback']}" if broken["traceback"] else ""
            raise PluginError(
                f"The plugin {name!r} is broken: {broken['file']}: {broken['reason']}{trace}"
            )
    raise NotFoundError("plugin", name)
