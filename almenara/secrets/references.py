"""Settings that only say where their value is: ``env:NAME`` or ``file:PATH``.

They are followed in the process that sends, when the plugin is built; the database never has the
value. So a secret can stay in a vault of the operator's that mounts it or puts it into the
environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from almenara.errors import FieldError, InvalidInputError
from almenara.settings import PREFIX

#: A larger file is no secret, in bytes.
LARGEST_FILE = 65_536

_REFERENCE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)|file:(\S.*)")


class _NowhereError(Exception):
    """A reference leads nowhere in this process; the text says why."""


class _ForbiddenError(_NowhereError):
    """A reference that no process follows."""


class References:
    """Follows references.

    Args:
        directory: what ``file:`` may read from; ``None``: nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def is_one(self, value: object) -> bool:
        """Tell whether a value is a reference."""
        return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None

    def follow(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the values, and what references led to.

        Raises:
            InvalidInputError: one leads nowhere; names the field, and no value.
        """
        found, nowhere = self._look(values)
        if nowhere:
            raise _invalid({name: str(error) for name, error in nowhere.items()})
        return dict(values) | found, list(found.values())

    def try_to_follow(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the values without those that lead nowhere, and a sentence for each of these.

        Raises:
            InvalidInputError: one that no process follows; names the field.
        """
        found, nowhere = self._look(values)
        forbidden = {
            name: str(error)
            for name, error in nowhere.items()
            if isinstance(error, _ForbiddenError)
        }
        if forbidden:
            raise _invalid(forbidden)
        known = {name: value for name, value in values.items() if name not in nowhere}
        sentences = [
            f"settings.{name} leads nowhere here; where it is sent it must lead to a value: {error}"
            for name, error in nowhere.items()
        ]
        return known | found, sentences

    def _look(self, values: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, _NowhereError]]:
        found: dict[str, str] = {}
        nowhere: dict[str, _NowhereError] = {}
        for name, value in values.items():
            if self.is_one(value):
                try:
                    found[name] = self._value_of(value)
                except _NowhereError as error:
                    nowhere[name] = error
        return found, nowhere

    def _value_of(self, reference: str) -> str:
        kind, _, place = reference.partition(":")
        return _read_variable(place) if kind == "env" else self._read_file(Path(place))

    def _read_file(self, path: Path) -> str:
        if self._directory is None:
            raise _NowhereError("set ALMENARA_SECRETS_DIR to the directory that `file:` may read.")
        try:
            directory = self._directory.resolve()
            # Where it really is, whatever links and dots lead there.
            real = (directory / path).resolve()
            if not real.is_relative_to(directory):
                raise _ForbiddenError("`file:` reads from ALMENARA_SECRETS_DIR alone.")
            with real.open("rb") as file:
                content = file.read(LARGEST_FILE + 1)
            text = content.decode("utf-8")
        except (OSError, ValueError) as error:
            raise _NowhereError(f"its file cannot be read ({type(error).__name__}).") from error
        if len(content) > LARGEST_FILE:
            raise _NowhereError(f"its file is larger than {LARGEST_FILE:,} bytes.")
        return text.removesuffix("\n").removesuffix("\r")


def _read_variable(name: str) -> str:
    if name.upper().startswith(PREFIX):
        raise _ForbiddenError(f"`env:` reads no {PREFIX}* variable: those are the server's own.")
    value = os.environ.get(name)
    if not value:
        raise _NowhereError(f"set {name} in its environment.")
    return value


def _invalid(mistakes: Mapping[str, str]) -> InvalidInputError:
    errors = [
        FieldError(
            field=f"settings.{name}",
            code="reference_leads_nowhere",
            message=f"It leads nowhere: {sentence}",
        )
        for name, sentence in mistakes.items()
    ]
    said = " ".join(f"{error.field}: {error.message}" for error in errors)
    return InvalidInputError(said, errors=errors)
