"""Templates on the command line: as they are written, and what they make of a body."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from almenara.cli.catalogue import TopicName
from almenara.cli.client import connect, path_to
from almenara.cli.explain import print_explained
from almenara.cli.output import print_fields, print_json, print_line
from almenara.cli.words import AsJson

#: Written for what is to be removed.
_NONE = "none"
_FORMATS = {".md": "markdown", ".html": "html"}

Template = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT|@FILE|JSON",
        help="How messages are worded: the template of the text (of a file `.md` or `.html` in "
        "that format), or the whole as JSON; `none` removes it.",
    ),
]
Accept = Annotated[
    str | None,
    typer.Option(
        metavar="SENDER|@FILE|JSON",
        help="What foreign webhooks mean: `github`, `grafana`, `alertmanager`, `stripe`, `json`, "
        "or templates as JSON; `none` removes it.",
    ),
]


def read_template(text: str | None) -> dict[str, Any]:
    """Return a template as the API takes it; nothing when none is given.

    Raises:
        typer.BadParameter: its file cannot be read.
    """
    if text is None:
        return {}
    if text.strip().lower() == _NONE:
        return {"template": None}
    content, suffix = _content(text, "--template")
    whole = _as_object(content)
    if whole is None:
        whole = {"body": content, "format": _FORMATS.get(suffix, "text")}
    return {"template": whole}


def read_accept(text: str | None) -> dict[str, Any]:
    """Return a mapping as the API takes it; nothing when none is given.

    Raises:
        typer.BadParameter: its file cannot be read.
    """
    if text is None:
        return {}
    if text.strip().lower() == _NONE:
        return {"accept": None}
    content, _ = _content(text, "--accept")
    whole = _as_object(content)
    return {"accept": content.strip() if whole is None else whole}


def template_fields(thing: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return what there is to say of the templates of a topic or a channel."""
    for name in ("template", "accept"):
        value = thing.get(name)
        if isinstance(value, str):
            yield name, value
        elif value:
            for part, one in value.items():
                if one:
                    yield f"{name}.{part}", one if isinstance(one, str) else json.dumps(one)


def preview_topic(
    name: TopicName,
    body: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The body that would be posted; `-`: standard input."),
    ],
    template: Annotated[
        str | None, typer.Option(metavar="SENDER", help="Read it as what this sender posts.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a topic would make of a body, and how each channel would show it; nothing is sent.

    Example: `almenara topics preview sales order.json`

    Example: `almenara topics preview ops push.json --template github`
    """
    query = {"template": template} if template else {}
    answer = connect().call(
        "POST", path_to("topics", name, "messages", "explain"), _read_body(body), query=query
    )
    if as_json:
        print_json(answer)
        return
    message = answer.body["message"]
    print_fields(
        [
            ("title", message["title"] or ""),
            ("text", message["description"]),
            ("format", message["format"]),
            ("priority", str(message["priority"])),
            ("tags", ", ".join(message["tags"])),
            ("reference", message["reference"] or ""),
            ("key", message["idempotency_key"] or ""),
            *(("failed", one) for one in message["metadata"].get("accept_errors", ())),
        ]
    )
    print_line("")
    print_explained(answer.body)


def _content(text: str, option: str) -> tuple[str, str]:
    """Return what was written, or what its file holds, and the file's suffix."""
    if not text.startswith("@"):
        return text, ""
    path = Path(text[1:]).expanduser()
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n"), path.suffix.lower()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}.", param_hint=option) from error


def _as_object(text: str) -> dict[str, Any] | None:
    """Return a JSON object; ``None``: it is none, such as a text that begins with ``{{``."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _read_body(path: Path) -> Any:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        return json.loads(text)
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read as JSON: {error}."
        raise typer.BadParameter(message, param_hint="FILE") from error
