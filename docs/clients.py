"""Writes the page about the Python client: its methods and results, from the code."""
# ruff: noqa: INP001 - a folder of pages with a few scripts is no package

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from almenara.client import message_operations, results, set_up_operations, set_up_results
from docs.tables import NOTE, table

_GROUPS: tuple[tuple[str, ModuleType, ModuleType], ...] = (
    ("Messages and deliveries", message_operations, results),
    ("Topics, channels, and what runs", set_up_operations, set_up_results),
)
_UNPACKED = re.compile(r"Unpack\[(\w+)\]")


def client_page() -> str:
    """Describe every method of the client, what it may be given, and every result."""
    lines = [
        "# The Python client",
        "",
        NOTE,
        "The methods of `almenara.client.Client`; those of `AsyncClient` are the same with",
        "`await`, or `async for` where they go over a list. The results are dataclasses, in",
        "`almenara.client.results` and `almenara.client.set_up_results`. How to begin:",
        "[Use the client](../howto/use-the-client.md).",
    ]
    for title, operations, outcomes in _GROUPS:
        lines += ["", f"## {title}", ""]
        rows = [_method(name, one) for name, one in _own(operations, inspect.isfunction)]
        lines += table(("method", "returns", "what it does"), rows)
        for name, fields in _own(operations, _is_fields):
            lines += ["", f"`**{name}`: {_first(fields)} {_names(fields.__annotations__)}"]
        lines += ["", "Results:", ""]
        lines += table(
            ("result", "what it is", "fields"),
            [
                (f"`{name}`", _first(one), _names(field.name for field in dataclasses.fields(one)))
                for name, one in _own(outcomes, dataclasses.is_dataclass)
            ],
        )
    return "\n".join([*lines, ""])


def _own(module: ModuleType, wanted: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    """Give what a module defines, in its order."""
    for name, one in vars(module).items():
        if wanted(one) and one.__module__ == module.__name__ and not name.startswith("_"):
            yield name, one


def _is_fields(one: Any) -> bool:
    return isinstance(one, type) and hasattr(one, "__total__")


def _method(name: str, operation: Any) -> tuple[str, str, str]:
    """Describe one method, with its parameters as they are written."""
    signature = inspect.signature(operation)
    written = []
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and "*" not in written:
            written.append("*")
        if one.kind is one.VAR_KEYWORD:
            found = _UNPACKED.fullmatch(str(one.annotation))
            written.append(f"**{found[1]}" if found else str(one))
        else:
            default = "" if one.default is one.empty else f"={one.default!r}"
            written.append(f"{one.name}{default}")
    returned = re.sub(r"^(Steps|Pages)\[(.*)\]$", r"\2", str(signature.return_annotation))
    many = str(signature.return_annotation).startswith("Pages[")
    kind = f"`{returned}`, one after another" if many else f"`{returned}`"
    return f"`{name}({', '.join(written)})`", kind, _first(operation)


def _first(one: Any) -> str:
    return (inspect.getdoc(one) or "").partition("\n")[0]


def _names(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)
