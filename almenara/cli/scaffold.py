"""Writes the skeleton of a new plugin: a class that works, its test, and where its secrets go."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

import typer

import almenara
from almenara.errors import ConfigurationError, ConflictError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")

#: The template of each file, by the name that the file gets.
_TEMPLATES = {
    "{name}.py": "plugin.py.template",
    "test_{name}.py": "test_plugin.py.template",
    ".env.example": "env.example.template",
    "README.md": "README.md.template",
}


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What was written."""

    directory: Path
    files: tuple[str, ...]
    class_name: str
    #: A plugin of this name is shipped: the new one is used in its place.
    replaces_shipped: bool


def write_skeleton(name: str) -> Skeleton:
    """Write a new plugin below the plugin directory.

    Raises:
        typer.BadParameter: the name cannot be used.
        ConflictError: there is something of this name already; nothing was written.
        ConfigurationError: the settings are wrong, or the directory cannot be written.
    """
    from almenara.settings import read_settings

    class_name = _class_name(name)
    values = {"name": name, "class_name": class_name, "prefix": class_name.upper()}
    directory = read_settings().plugins_dir / name
    try:
        directory.mkdir(parents=True)
        for file, template in _TEMPLATES.items():
            (directory / file.format(name=name)).write_text(
                _template(template).substitute(values), encoding="utf-8"
            )
    except FileExistsError as error:
        raise ConflictError(
            f"There is {directory} already; nothing is overwritten. Choose another name."
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{directory} cannot be written: {error.strerror}.") from error
    return Skeleton(
        directory=directory,
        files=tuple(file.format(name=name) for file in _TEMPLATES),
        class_name=class_name,
        replaces_shipped=files("almenara").joinpath("plugins", name).is_dir(),
    )


def _class_name(name: str) -> str:
    """Return the class's name in CamelCase.

    Raises:
        typer.BadParameter: the name, or the class's, would be in somebody's way.
    """
    if not _NAME.fullmatch(name):
        raise _mistake("Write a letter and then letters, digits, `-` or `_`, all in lower case.")
    class_name = "".join(part.capitalize() for part in re.split("[-_]+", name))
    if name in sys.stdlib_module_names:
        raise _mistake(f"{name!r} is a module of Python's own; choose another name.")
    if class_name in almenara.__all__ or keyword.iskeyword(class_name):
        raise _mistake(f"The class {class_name!r} is something else already; choose another name.")
    return class_name


def _template(name: str) -> Template:
    return Template(files("almenara.cli").joinpath("skeleton", name).read_text(encoding="utf-8"))


def _mistake(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="NAME")
