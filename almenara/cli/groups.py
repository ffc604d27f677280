"""Groups of sub-commands, whose bare name lists what there is: ``almenara topics``."""

from __future__ import annotations

from collections.abc import Callable

import typer

from almenara.cli.words import CONTEXT, AsJson


def new_group(help_text: str, list_command: Callable[[bool], None]) -> typer.Typer:
    """Return a group that runs ``list_command`` when no sub-command is named."""
    group = typer.Typer(help=help_text, context_settings=CONTEXT, rich_markup_mode="markdown")

    @group.callback(invoke_without_command=True)
    def list_by_default(context: typer.Context, as_json: AsJson = False) -> None:
        if context.invoked_subcommand is None:
            list_command(as_json)
        elif as_json:
            raise typer.BadParameter("Write it after the sub-command.", param_hint="--json")

    return group
