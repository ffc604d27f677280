"""Reading the settings from the environment; all mistakes are reported at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from almenara.errors import ConfigurationError
from almenara.settings.model import Settings

PREFIX = "ALMENARA_"


def read_settings(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Read the settings from the environment.

    Args:
        environ: the environment; the process's own when absent.
        overrides: values from the command line, which win; ``None`` means "not given".

    Raises:
        ConfigurationError: one sentence a mistake, all at once, unknown ``ALMENARA_`` names
            included.
    """
    environ = os.environ if environ is None else environ
    values, mistakes = _gather(environ)
    values |= {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        mistakes += [
            _mistake(part["loc"], part["msg"].removeprefix("Value error, "))
            for part in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigurationError(_sentence(mistakes)) from error
    if mistakes:
        raise ConfigurationError(_sentence(mistakes))
    return settings


def _gather(environ: Mapping[str, str]) -> tuple[dict[str, object], list[str]]:
    """Collect the raw values and the mistakes in names and files."""
    values: dict[str, object] = {}
    mistakes: list[str] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        plain = name.removeprefix(PREFIX)
        if plain in {"URL", "TOKEN"} or plain.startswith("TEST_") or environ[name] == "":
            continue
        field = plain.lower()
        if field in Settings.model_fields:
            values[field] = environ[name]
        elif field.endswith("_file") and field.removesuffix("_file") in Settings.model_fields:
            try:
                text = Path(environ[name]).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                mistakes.append(f"{name}: the file cannot be read ({type(error).__name__})")
            else:
                values.setdefault(field.removesuffix("_file"), text)
        else:
            mistakes.append(f"{name}: there is no such setting")
    return values, mistakes


def _mistake(place: tuple[int | str, ...], message: str) -> str:
    """Say what is wrong with one setting, or with several that do not go together."""
    return f"{PREFIX}{str(place[0]).upper()}: {message}" if place else message


def _sentence(mistakes: list[str]) -> str:
    return "The settings cannot be used:\n" + "\n".join(f"  {line}" for line in mistakes)
