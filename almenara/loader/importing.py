"""Imports a plugin's file in a package of its own, under a private name and within a deadline.

Each directory becomes a synthetic package ``_almenara_plugins.<number>_<directory>``. A number is
used once in a process, so what an earlier load imported stays whole for those who still use it,
and a file that hangs can never disturb a later load. When nobody uses it any more, its modules are
taken out of the process.
"""

from __future__ import annotations

import gc
import itertools
import logging
import re
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeVar

ROOT = "_almenara_plugins"

_T = TypeVar("_T")
_numbers = itertools.count(1)


class _FreshLoader(SourceFileLoader):
    """Compiles a file each time: no stale code after an edit, no ``__pycache__`` left behind."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder(MetaPathFinder):
    """Finds the modules below the private name, and no others."""

    def __init__(self) -> None:
        #: Plugin files by module name; their own names may hold dots.
        self.files: dict[str, Path] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{ROOT}."):
            return None
        if fullname in self.files:
            file = str(self.files[fullname])
            return spec_from_file_location(fullname, file, loader=_FreshLoader(fullname, file))
        kinds = ((ExtensionFileLoader, EXTENSION_SUFFIXES), (_FreshLoader, SOURCE_SUFFIXES))
        specs = (FileFinder(each, *kinds).find_spec(fullname) for each in path or ())
        return next((spec for spec in specs if spec is not None), None)


_finder = _Finder()


#: How many packages were taken out since the garbage of the last was collected.
_taken_out = 0


class Package:
    """A plugin directory as a package that no other code can import by accident.

    Its modules can be imported for as long as somebody holds this object: code that imports
    ``.helper`` only while it sends finds it to the end. Then they go.
    """

    def __init__(self, directory: Path) -> None:
        _install()
        readable = re.sub(r"\W", "_", directory.name)
        self.name = f"{ROOT}.{next(_numbers)}_{readable}"
        self._init_file = directory / "__init__.py"
        self._loader = _FreshLoader(self.name, str(self._init_file))
        spec = ModuleSpec(self.name, None, is_package=True)
        spec.submodule_search_locations = [str(directory)]
        self._module = module_from_spec(spec)
        sys.modules[self.name] = self._module
        weakref.finalize(self, _take_out, self.name).atexit = False

    def run_init(self) -> None:
        """Run the directory's own ``__init__.py`` as the body of the package.

        Raises:
            BaseException: whatever the file raises; the package serves its modules all the same.
        """
        self._module.__file__ = str(self._init_file)
        self._loader.exec_module(self._module)

    def add(self, file: Path) -> str:
        """Make a file importable; return its module name."""
        name = f"{self.name}.{file.stem.replace('.', '-')}"
        _finder.files[name] = file
        return name


def import_file(module_name: str) -> ModuleType:
    """Import a file that was added to a package, once.

    Raises:
        BaseException: whatever the file raises.
    """
    return import_module(module_name)


def collect_garbage() -> None:
    """Free what packages that were taken out have left: classes are cycles, and live on else.

    The server's garbage collector seldom looks at what is old (``garbage.settle_down``), so it has
    to be asked. That takes milliseconds, as what the process began with is frozen: of all versions
    of a file, that one stays in memory.
    """
    global _taken_out  # noqa: PLW0603 - one process has one garbage collector
    if _taken_out:
        _taken_out = 0
        gc.collect()


def call_within(seconds: float, work: Callable[[], _T]) -> _T | None:
    """Call foreign code in a daemon thread and wait for it no longer than this.

    Returns ``None`` when there was no result in time: the code then goes on in a thread that does
    not keep the process alive. Nothing that it raises comes out of here.
    """
    outcome: list[_T] = []

    def run() -> None:
        with suppress(BaseException):
            outcome.append(work())

    thread = threading.Thread(target=run, name="almenara-plugin-import", daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else None


def _take_out(package: str) -> None:
    """Take a package and all below it out of every table of the process that would keep it."""
    global _taken_out  # noqa: PLW0603 - one process has one garbage collector
    below = f"{package}."
    tables: list[dict[str, Any]] = [sys.modules, _finder.files, logging.root.manager.loggerDict]
    for table in tables:
        for name in [name for name in list(table) if name == package or name.startswith(below)]:
            table.pop(name, None)
    parent = logging.root.manager.loggerDict.get(ROOT)
    if isinstance(parent, logging.PlaceHolder):
        for logger in list(parent.loggerMap):
            if logger.name == package or logger.name.startswith(below):
                parent.loggerMap.pop(logger, None)
    _taken_out += 1


def _install() -> None:
    """Make the private name importable; harmless when it is already."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    if ROOT not in sys.modules:
        sys.modules[ROOT] = module_from_spec(ModuleSpec(ROOT, None, is_package=True))
