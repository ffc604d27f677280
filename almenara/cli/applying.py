"""`apply` makes channels and topics as a file has them; `export` writes such a file."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from almenara.cli.client import Server, connect, path_to
from almenara.cli.exits import ExitCode
from almenara.cli.output import print_line, print_note
from almenara.cli.words import AsJson
from almenara.errors import AlmenaraError, ConfigurationError

if TYPE_CHECKING:
    from almenara.cli.differences import Change

_SIGNS = {"create": "+", "change": "~", "delete": "-"}
_DONE = {"create": "created", "change": "changed", "delete": "deleted"}
_HEAD = """\
# Channels and topics of an Almenara, for `almenara apply`.
# ******** stands for a secret, which is not told: it stays as it is on the server that has it.
# For another server write it anew, or as env:NAME or file:NAME.
"""

File = Annotated[str, typer.Argument(metavar="FILE", help="YAML or JSON; `-` is standard input.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be changed.")]
Prune = Annotated[bool, typer.Option("--prune", help="Delete what the file does not name.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def apply(
    file: File,
    dry_run: DryRun = False,
    prune: Prune = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make channels and topics as a file has them; what would change is shown first.

    Example: `almenara apply almenara.yaml --dry-run`
    """
    from almenara.cli.declaration import read_declaration
    from almenara.cli.differences import find_changes

    if not (dry_run or yes) and (as_json or file == "-" or not sys.stdin.isatty()):
        raise typer.BadParameter("There is nobody to ask; add --yes.", param_hint="--yes")
    wanted = read_declaration(_read(file))
    server = connect()
    channels, topics = (_by_name(server, kind) for kind in ("channels", "topics"))
    changes = find_changes(wanted, channels, topics, prune=prune, secrets=_secrets(server))
    if as_json:
        print_line(json.dumps({"changes": [_as_json(one) for one in changes]}))
    else:
        _show(changes)
    if dry_run or not changes:
        return
    if not yes and not typer.confirm("Apply?", err=True):
        raise typer.Exit(ExitCode.NOT_DONE)
    _make(server, changes, as_json=as_json)


def export() -> None:
    """Write channels and topics as a file for `apply`; secrets are not told.

    Example: `almenara export > almenara.yaml`
    """
    from almenara.cli.declaration import write_declaration
    from almenara.cli.differences import shown_channel, shown_topic, without_defaults

    server = connect()
    channels = {
        name: without_defaults("channel", shown_channel(one))
        for name, one in _by_name(server, "channels").items()
    }
    topics = {
        name: without_defaults("topic", shown_topic(one))
        for name, one in _by_name(server, "topics").items()
    }
    print_line(_HEAD + write_declaration(channels, topics).rstrip())


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{file} cannot be read: {reason}.") from error


def _by_name(server: Server, kind: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in server.get(f"/v1/{kind}").body["data"]}


def _secrets(server: Server) -> dict[str, frozenset[str]]:
    """Return the secret settings of each plugin, by both of its names."""
    return {
        name: frozenset(one["secret_fields"])
        for one in server.get("/v1/plugins").body["data"]
        for name in (one["name"], one["qualified_name"])
    }


def _show(changes: list[Change]) -> None:
    for change in changes:
        print_line(f"{_SIGNS[change.action]} {change.kind} {change.name}")
        for one in change.differences:
            print_line(f"    {one.place}: {one.before} -> {one.after}")
    counts = {action: sum(one.action == action for one in changes) for action in _SIGNS}
    told = ", ".join(f"{count} to {action}" for action, count in counts.items() if count)
    print_line(f"{told}." if told else "Nothing to change.")


def _as_json(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "name": change.name,
        "action": change.action,
        "differences": [asdict(one) for one in change.differences],
    }


def _make(server: Server, changes: list[Change], *, as_json: bool) -> None:
    """Make the changes one after another; the first that is refused ends it."""
    for done, change in enumerate(changes):
        path = path_to(f"{change.kind}s", change.name)
        try:
            if change.action == "delete":
                server.call("DELETE", path)
            else:
                answer = server.call("PUT", path, change.body)
                for warning in answer.body.get("warnings", []):
                    print_note(f"Warning: {change.kind} {change.name}: {warning}")
        except AlmenaraError:
            print_note(
                f"The {change.kind} {change.name} was not {_DONE[change.action]}; {done} of "
                f"{len(changes)} changes were made before it, and none after it."
            )
            raise
        if not as_json:
            print_line(f"{change.kind.capitalize()} {change.name} {_DONE[change.action]}.")
