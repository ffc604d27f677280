"""Settings of a channel as they are written on the command line.

``key=text``, ``key:=json``, ``key=@file``, and ``key=-`` for what is asked for without an echo:
a secret need not stand in the shell's history, nor in the list of processes.
"""

from __future__ import annotations

import getpass
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

_ASSIGNMENT = re.compile(r"(?P<key>[^=:\s]+)(?P<sign>:?=)(?P<value>.*)", re.DOTALL)


def read_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Read what ``--set`` was given, in its order.

    Raises:
        typer.BadParameter: one is not an assignment, or its value cannot be read. What was written
            after the sign is in no error.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        match = _ASSIGNMENT.fullmatch(assignment)
        if match is None:
            raise _mistake("Write key=value, key:=json, key=@file, or key=- to be asked for it.")
        key = match["key"]
        if match["sign"] == ":=":
            values[key] = _read_json(key, match["value"])
        else:
            values[key] = _read_value(key, match["value"])
    return values


def _read_value(key: str, value: str) -> str:
    if value == "-":
        return _ask(key)
    if value.startswith("@"):
        return _read_file(key, Path(value[1:]).expanduser())
    return value


def _read_json(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        # The parser's own text would repeat a part of what was written.
        raise _mistake(f"{key}: what follows := is not JSON.") from error


def _read_file(key: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except OSError as error:
        raise _mistake(f"{key}: {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise _mistake(f"{key}: {path} is not UTF-8 text.") from error


def _ask(key: str) -> str:
    """Ask on the terminal without an echo; without a terminal, take the next line of stdin."""
    try:
        if sys.stdin.isatty():
            value = getpass.getpass(f"{key}: ")
        else:
            value = sys.stdin.readline().removesuffix("\n")
    except EOFError:
        value = ""
    if not value:
        raise _mistake(f"{key}: nothing was given.")
    return value


def _mistake(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--set")
