"""Completion in the shell: the script for it, and the names that only the server knows."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from almenara.cli.client import connect, path_to
from almenara.cli.words import COMPLETING
from almenara.errors import AlmenaraError

#: Somebody waits with a finger on the key: longer than that, nothing is better.
_PATIENCE_SECONDS = 1.0


def topic_names(incomplete: str) -> list[str]:
    """Return the topics whose names begin so."""
    return _names("topics", incomplete)


def channel_names(incomplete: str) -> list[str]:
    """Return the channels whose names begin so."""
    return _names("channels", incomplete)


def completion(
    context: typer.Context,
    shell: Annotated[
        Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")
    ],
) -> None:
    """Write the script that completes commands, options, topics and channels.

    Example: `almenara completion bash > ~/.local/share/bash-completion/completions/almenara`

    Example: `almenara completion fish > ~/.config/fish/completions/almenara.fish`

    In zsh put `eval "$(almenara completion zsh)"` into `~/.zshrc`. The names of topics and channels
    come from the server that `ALMENARA_URL` names; where none answers, they are not completed.
    """
    from typer.completion import shell_complete

    root = context.find_root()
    name = root.info_name or "almenara"
    shell_complete(root.command, {}, name, COMPLETING, f"source_{shell}")


def _names(kind: str, incomplete: str) -> list[str]:
    """Ask the server; whatever goes wrong, a shell is no place to say it."""
    try:
        answer = connect(_PATIENCE_SECONDS).get(path_to(kind))
        names = [str(one["name"]) for one in answer.body["data"]]
    except (AlmenaraError, LookupError, TypeError):
        return []
    return [name for name in names if name.startswith(incomplete)]
