"""The command line: every command, and what it ends with."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from almenara import __version__
from almenara.cli import alive, explain, log, messages, server
from almenara.cli.applying import apply, export
from almenara.cli.audit import audit
from almenara.cli.backing_up import backup, restore
from almenara.cli.channels import channels
from almenara.cli.completing import completion
from almenara.cli.copying import copy_database
from almenara.cli.exits import exit_code
from almenara.cli.groups import CONTEXT
from almenara.cli.output import print_error, print_line
from almenara.cli.plugins import plugins
from almenara.cli.replays import replay, replays
from almenara.cli.rotating import rotate_secrets
from almenara.cli.token import token
from almenara.cli.topics import topics
from almenara.cli.worker import worker
from almenara.errors import AlmenaraError

__all__ = ["app", "run"]

app = typer.Typer(
    name="almenara",
    no_args_is_help=True,
    # A traceback with local variables would show tokens and secrets.
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings=CONTEXT,
)

_SERVER = "The server"
_MESSAGES = "Messages"
_SET_UP = "Topics, channels, plugins"


def _show_version(wanted: bool) -> None:
    if wanted:
        print_line(f"almenara {__version__}")
        raise typer.Exit


@app.callback()
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


_COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (
    (_SERVER, server.serve),
    (_SERVER, worker),
    (_SERVER, server.migrate),
    (_SERVER, server.check),
    (_SERVER, backup),
    (_SERVER, restore),
    (_SERVER, copy_database),
    (_SERVER, alive.alive),
    (_SERVER, rotate_secrets),
    (_SERVER, token),
    (_SERVER, completion),
    (_MESSAGES, messages.send),
    (_MESSAGES, explain.explain),
    (_MESSAGES, log.log),
    (_MESSAGES, messages.show),
    (_MESSAGES, messages.resend),
    (_MESSAGES, messages.cancel),
    (_MESSAGES, messages.release),
    (_MESSAGES, replay),
    (_SET_UP, apply),
    (_SET_UP, export),
    (_SET_UP, audit),
)
for _panel, _command in _COMMANDS:
    app.command(rich_help_panel=_panel)(_command)
app.add_typer(replays, name="replays", rich_help_panel=_MESSAGES)
app.add_typer(topics, name="topics", rich_help_panel=_SET_UP)
app.add_typer(channels, name="channels", rich_help_panel=_SET_UP)
app.add_typer(plugins, name="plugins", rich_help_panel=_SET_UP)


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
    try:
        app(args=arguments, prog_name="almenara")
    except AlmenaraError as error:
        print_error(error)
        code = exit_code(error)
    except SystemExit as end:  # however a command ends, typer ends it so
        code = end.code
    return int(code or 0)
