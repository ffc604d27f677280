"""The command that makes a token for development."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from almenara.auth.principal import Scope
from almenara.cli.output import print_line
from almenara.retry import parse_duration
from almenara.settings import read_settings

Subject = Annotated[str, typer.Option(help="Whom it names; the log shows it as the sender.")]
Scopes = Annotated[
    list[Scope] | None,
    typer.Option("--scope", help="What it allows; give it again for more. Left out: everything."),
]
TopicNames = Annotated[
    list[str] | None,
    typer.Option("--topic", help="Narrows it to a topic, or to a beginning: `sales.*`."),
]
Lifetime = Annotated[str, typer.Option("--for", help="How long it is good: `30m`, `12h`.")]


#: What the server allows is usually far less, and says so itself.
_LONGEST = timedelta(days=3_650)


def token(
    subject: Subject = "developer",
    scopes: Scopes = None,
    topics: TopicNames = None,
    lifetime: Lifetime = "12h",
) -> None:
    """Make a token for development, with the secret that the server shares (ALMENARA_JWT_SECRET).

    Almenara verifies tokens and issues none: in production they come from the system that your
    users sign in to.

    Example: export ALMENARA_TOKEN=$(almenara token --scope messages:send --topic 'sales.*')
    """
    from almenara.auth.development import make_token

    made = make_token(
        read_settings(),
        subject=subject,
        scopes=scopes or list(Scope),
        topics=topics or [],
        lifetime=parse_duration(lifetime, longest=_LONGEST),
    )
    print_line(made)
