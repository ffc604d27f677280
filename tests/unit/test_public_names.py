"""The names that a plugin author imports: all there, looked up late, the same for type checkers."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys

import pytest

import almenara


@pytest.mark.parametrize("name", almenara.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(almenara, name) is not None


def test_dir_shows_the_public_names() -> None:
    assert dir(almenara) == sorted(almenara.__all__)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'almenara' has no attribute 'Dispatcher'"):
        _ = almenara.Dispatcher


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(inspect.getsource(almenara))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    shown = {item.name for node in ast.walk(guarded) for item in getattr(node, "names", [])}
    assert shown | {"__version__"} == set(almenara.__all__)


def test_importing_the_package_loads_no_framework() -> None:
    code = (
        "import almenara, sys; "
        "print(sorted({'fastapi', 'pydantic', 'tortoise', 'aiohttp'} & set(sys.modules)))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert finished.stdout.strip() == "[]"
