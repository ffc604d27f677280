"""Writes the reference pages from the code: `.venv/bin/python -m docs.generate`.

`tests/test_docs.py` fails when a page is not what this writes.
"""
# ruff: noqa: INP001 - a folder of pages with one script is no package

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer.main

from almenara.app import build
from almenara.cli import command_line
from almenara.cli.declaration import schema
from almenara.cli.exits import MEANINGS
from almenara.settings import PREFIX, Settings, read_settings
from docs.channels import channels_page
from docs.clients import client_page
from docs.metrics import metrics_page
from docs.tables import NOTE, table

REFERENCE = Path(__file__).parent / "reference"


def pages() -> dict[Path, str]:
    """Return every page of the reference that is generated, by its file."""
    return {
        REFERENCE / "settings.md": settings_page(),
        REFERENCE / "api.md": api_page(),
        REFERENCE / "cli.md": cli_page(),
        REFERENCE / "channels.md": channels_page(),
        REFERENCE / "client.md": client_page(),
        REFERENCE / "metrics.md": metrics_page(),
        REFERENCE / "almenara.schema.json": json.dumps(schema(), indent=2) + "\n",
        REFERENCE / "openapi.json": json.dumps(openapi(), indent=1) + "\n",
    }


@cache
def openapi() -> dict[str, Any]:
    """Return the description of the API, as a server with no settings gives it."""
    return build(read_settings({})).openapi()


def settings_page() -> str:
    """Describe every setting of the server."""
    properties = Settings.model_json_schema()["properties"]
    rows = [
        (
            f"`{PREFIX}{name.upper()}`",
            _shown(properties[name].get("default")),
            _allowed(properties[name]),
            field.description,
        )
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(
        [
            "# Settings",
            "",
            NOTE,
            "The server reads its settings from the environment, once, at its start. All mistakes",
            f"are reported at once; a name that begins with `{PREFIX}` and is none of these is one",
            "of them. An empty value is the same as none. What should not stand in an environment",
            f"stands in a file: `{PREFIX}SECRET_KEY_FILE` names the file that holds",
            f"`{PREFIX}SECRET_KEY`, and so with every name below.",
            "",
            *table(("name", "default", "allowed", "what it is"), rows),
            "",
            "`almenara serve` takes `--host`, `--port` and `--workers`, which win over the",
            "environment.",
            "",
            "The other commands are clients of the server, and read only these:",
            "",
            *table(
                ("name", "default", "what it is"),
                [
                    (f"`{PREFIX}URL`", "`http://127.0.0.1:8000`", "Where the server is."),
                    (
                        f"`{PREFIX}TOKEN`",
                        "none",
                        "A bearer token, where the server asks for one.",
                    ),
                ],
            ),
            "",
            "What a channel needs to know stands in the channel, in the environment under the",
            "plugin's own names (`MAIL_SERVER`, `SLACK_WEBHOOK_URL`) or in a `.env` beside the",
            "plugin: see [Write a plugin](../howto/write-a-plugin.md).",
            "",
        ]
    )


def api_page() -> str:
    """Describe every route of the API, and the bodies that it takes."""
    document = openapi()
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    lines = [
        "# The HTTP API",
        "",
        NOTE,
        "The running server shows the same, to try out, at `/docs`, and as OpenAPI at",
        "`/openapi.json`. Bodies are JSON (RFC 7493) with the header",
        "`Content-Type: application/json`; unknown fields are errors; times carry their zone and",
        "come back in UTC. Lists are newest first, `{data, next_cursor}`: give `next_cursor` back",
        "as `cursor` for the next page. Every error is a problem document: see",
        "[API errors](api-errors.md).",
    ]
    for tag in dict.fromkeys(tag for _, _, one in operations for tag in one["tags"]):
        lines += ["", f"## {tag.capitalize()}"]
        for method, path, operation in operations:
            if tag in operation["tags"]:
                lines += ["", *_route(method, path, operation, document)]
    return "\n".join([*lines, ""])


def cli_page() -> str:
    """Describe every command, with its arguments, options and exit codes."""
    root: Any = typer.main.get_command(command_line())
    lines = ["# The command line", "", NOTE, _paragraphs(root.help or "")]
    for name, command in _commands(root):
        lines += ["", f"## {name}", "", _paragraphs(command.help or "")]
        rows = [_parameter(one) for one in command.params if not getattr(one, "hidden", False)]
        if rows:
            lines += ["", *table(("argument or option", "what it is"), rows)]
    lines += ["", "## Exit codes", ""]
    lines += table(("code", "what it means"), [(f"{int(one)}", MEANINGS[one]) for one in MEANINGS])
    return "\n".join([*lines, ""])


def _route(
    method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]
) -> Iterator[str]:
    """Describe one route: its sentence, its parameters, its body, its answer."""
    rows: list[tuple[str, ...]]
    codes = sorted(code for code in operation["responses"] if code.startswith("2"))
    yield f"### {method} {path}"
    yield ""
    yield f"{operation['description']} Answers {' or '.join(codes)}."
    rows = [
        (f"`{one['name']}`", _kind(one["schema"], document), _sentence(one))
        for one in operation.get("parameters", [])
        if one["in"] == "query"
    ]
    if rows:
        yield ""
        yield from table(("parameter", "type", "what it is"), rows)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        yield ""
        rows = list(_fields(body["schema"], document))
        if method == "PATCH":
            rows = [(name, kind, "as it was", text) for name, kind, _, text in rows]
        yield from table(("field", "type", "when left out", "what it is"), rows)


def _fields(
    schema: Mapping[str, Any], document: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, str]]:
    """Describe the fields of a body."""
    model = _resolved(schema, document)
    required = model.get("required", [])
    for name, field in model["properties"].items():
        default = "**required**" if name in required else _shown(field.get("default"))
        yield f"`{name}`", _kind(field, document), default, _sentence(field)


def _kind(schema: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Return a type and its limits in a few words."""
    schema = _resolved(schema, document)
    if "anyOf" in schema:
        kinds = [_kind(one, document) for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema or "const" in schema:
        return " \\| ".join(f"`{one}`" for one in schema.get("enum", [schema.get("const")]))
    kind = str(schema.get("format") or schema.get("type") or "anything")
    limits = _allowed(schema)
    if kind == "array":
        size = f" ({limits})" if limits else ""
        return f"list{size} of {_kind(schema.get('items', {}), document)}"
    return f"{kind}, {limits}" if limits else kind


def _allowed(schema: Mapping[str, Any]) -> str:
    """Return the limits of a value in a few words."""
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        # FastAPI writes the limits of integers as floats.
        return f"{int(least):,} to {int(most):,}"
    if "maxLength" in schema:
        return f"at most {schema['maxLength']} characters"
    if "maxItems" in schema:
        return f"at most {schema['maxItems']}"
    return ""


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def _sentence(part: Mapping[str, Any]) -> str:
    return str(part.get("description", ""))


def _shown(default: object) -> str:
    if default in (None, (), [], {}, ""):
        return "none"
    if isinstance(default, list | tuple):
        return ", ".join(f"`{one}`" for one in default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _commands(group: Any, prefix: str = "almenara") -> Iterator[tuple[str, Any]]:
    """Walk over every command and sub-command by its whole name."""
    for name, command in group.commands.items():
        yield f"{prefix} {name}", command
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix} {name}")


def _parameter(parameter: Any) -> tuple[str, str]:
    """Describe one argument or option of a command."""
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        return f"`{name if parameter.required else f'[{name}]'}`", parameter.help or ""
    names = ", ".join(parameter.opts)
    if parameter.secondary_opts:
        names += f" / {', '.join(parameter.secondary_opts)}"
    if not parameter.is_flag:
        names += f" {parameter.metavar or _value(parameter.type_descriptor.annotation)}"
    # In a table, a bar in code would end the cell.
    return f"`{names}`".replace("|", "\\|"), parameter.help or ""


def _value(annotation: Any) -> str:
    """Name the value of an option."""
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    return {int: "NUMBER", float: "NUMBER"}.get(annotation, "TEXT")


def _paragraphs(text: str) -> str:
    """Write a help text with its paragraphs."""
    return re.sub(r"\n{2,}", "\n\n", text.replace("\f", "").strip())


def main() -> None:
    """Write every page."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
