"""The page that lists the shipped channels with what each supports."""
# ruff: noqa: INP001 - a folder of pages with a few scripts is no package

from __future__ import annotations

import ast
from pathlib import Path

from almenara.loader import Plugins
from docs.tables import NOTE, table
from tests.plugins.documented import SERVICES


def channels_page() -> str:
    """List the shipped channels with what each supports."""
    plugins = Plugins(Path("none"))
    plugins.load()
    refusals = {one.plugin: str(len(one.refusals)) for one in SERVICES}
    rows = [
        (
            f"[`{one.name}`](../../almenara/plugins/{one.file.parent.name}/README.md)",
            str(_code_lines(one.file.parent)),
            _written_as(one.file.parent),
            _yes(getattr(one.cls, "carries_attachments", False)),
            _yes(one.verifies),
            _yes("to" in _names_used(one.file.parent)),
            refusals.get(one.name, "in tests of its own"),
        )
        for one in sorted(plugins.found, key=lambda one: one.name)
    ]
    head = ("channel", "lines", "writes", "files", "drill", "`to`", "refusals tested")
    return "\n".join(
        [
            "# Channels",
            "",
            NOTE,
            "Each is one directory, loaded through the same door as a plugin of yours; its page",
            "says what to set, where to get it, and what fails and how. *Lines* are those of code,",
            "without blank lines, comments and docstrings. *Writes*: what a message's text,",
            "Markdown or HTML becomes. *Files*: attachments are sent; else a note names them.",
            "*Drill*: it has a silent check. *`to`*: a message may name recipients, where the",
            "channel allows it. *Refusals*: answers that the service documents, each given by a",
            "server in a test.",
            "",
            *table(head, rows),
            "",
        ]
    )


def _code_lines(directory: Path) -> int:
    """Count lines of code: what is left of a file without comments and docstrings."""
    return sum(
        ast.unparse(_without_docstrings(ast.parse(one.read_text("utf-8")))).count("\n") + 1
        for one in directory.glob("*.py")
    )


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]  # it has one, as was seen
                one
                for one in body
                if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
            ] or [ast.Pass()]
    return tree


#: What a channel writes, by the function that its plugin asks for it.
_WRITERS = {
    "as_text": "text",
    "as_markdown": "Markdown",
    "as_html": "HTML",
    "as_mrkdwn": "mrkdwn",
    "as_chat_marks": "chat marks",
}


def _written_as(directory: Path) -> str:
    used = _names_used(directory)
    return ", ".join(word for name, word in _WRITERS.items() if name in used) or "as it came"


def _names_used(directory: Path) -> set[str]:
    trees = [ast.parse(one.read_text("utf-8")) for one in directory.glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    of_message = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "message"
    }
    return names | of_message


def _yes(value: object) -> str:
    return "yes" if value else ""
