"""The command line: every command, and what it ends with."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Final, NamedTuple

import typer

from almenara import __version__
from almenara.cli.exits import exit_code
from almenara.cli.output import print_error, print_line
from almenara.cli.words import COMPLETING, CONTEXT
from almenara.errors import AlmenaraError

__all__ = ["command_line", "run"]

_SERVER: Final = "The server"
_MESSAGES: Final = "Messages"
_SET_UP: Final = "Topics, channels, plugins"


class _Command(NamedTuple):
    """A command, or a group of them: the function, or the group, of its name in its module."""

    name: str
    module: str
    panel: str


_COMMANDS: Final = (
    _Command("serve", "server", _SERVER),
    _Command("worker", "worker", _SERVER),
    _Command("migrate", "server", _SERVER),
    _Command("check", "server", _SERVER),
    _Command("backup", "backing_up", _SERVER),
    _Command("restore", "backing_up", _SERVER),
    _Command("copy-database", "copying", _SERVER),
    _Command("alive", "alive", _SERVER),
    _Command("rotate-secrets", "rotating", _SERVER),
    _Command("token", "token", _SERVER),
    _Command("completion", "completing", _SERVER),
    _Command("send", "messages", _MESSAGES),
    _Command("explain", "explain", _MESSAGES),
    _Command("log", "log", _MESSAGES),
    _Command("show", "messages", _MESSAGES),
    _Command("resend", "messages", _MESSAGES),
    _Command("cancel", "messages", _MESSAGES),
    _Command("release", "messages", _MESSAGES),
    _Command("replay", "replays", _MESSAGES),
    _Command("apply", "applying", _SET_UP),
    _Command("export", "applying", _SET_UP),
    _Command("audit", "audit", _SET_UP),
    _Command("replays", "replays", _MESSAGES),
    _Command("topics", "topics", _SET_UP),
    _Command("channels", "channels", _SET_UP),
    _Command("plugins", "plugins", _SET_UP),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print_line(f"almenara {__version__}")
        raise typer.Exit


def almenara(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and end."
        ),
    ] = False,
) -> None:
    """A notification router: a message in over HTTP, out by Slack, mail and any channel you write.

    The commands other than `serve`, `worker`, `migrate`, `check`, `restore`,
    `copy-database`, `rotate-secrets`, `alive`, `token`, `completion` and `plugins new` ask the
    running server: at `ALMENARA_URL`, or else `http://127.0.0.1:8000`, with the token in
    `ALMENARA_TOKEN`.

    With `--json`, what the server answered goes to standard output as it came; warnings and errors
    go to standard error. A time is a duration counted from now (`90s`, `1h30m`, `2d`) or an ISO
    time (`2026-11-23T22:00`, local if it names no zone).
    """


def command_line(wanted: str | None = None) -> typer.Typer:
    """Return the whole command line, or of its commands the wanted one alone, if there is one.

    The others take a tenth of a server's start to import and describe.
    """
    app = typer.Typer(
        name="almenara",
        no_args_is_help=True,
        # A traceback with local variables would show tokens and secrets.
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings=CONTEXT,
    )
    app.callback()(almenara)
    for name, module, panel in [one for one in _COMMANDS if one.name == wanted] or _COMMANDS:
        found = getattr(import_module(f"almenara.cli.{module}"), name.replace("-", "_"))
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, rich_help_panel=panel)
        else:
            app.command(name, rich_help_panel=panel)(found)
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: without the program's name; those of the process when absent.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What a terminal cannot show is escaped; no text of a sender's stops a command.
            stream.reconfigure(errors="backslashreplace")
    code: int | str | None = None
    given = sys.argv[1:] if arguments is None else arguments
    first = None if COMPLETING in os.environ else next(iter(given), None)
    try:
        command_line(first)(args=arguments, prog_name="almenara")
    except AlmenaraError as error:
        print_error(error)
        code = exit_code(error)
    except SystemExit as end:  # however a command ends, typer ends it so
        code = end.code
    return int(code or 0)
