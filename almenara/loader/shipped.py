"""The plugins that come with Almenara; they enter through the same door as anybody's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from almenara.loader.discovery import Place, find_in_directory, plugin_directories
from almenara.loader.found import Findings
from almenara.loader.standing import Mark, mark_of_file


@dataclass(frozen=True, slots=True)
class _EnvFile:
    """Where a plugin's ``.env`` is, and how it stands."""

    path: Path | None
    mark: Mark | None


class Shipped:
    """The shipped plugins; their code does not change while a process runs, but their ``.env``."""

    def __init__(self, root: Path, place: Callable[[Path], Place]) -> None:
        self._root = root
        self._place = place
        self._loaded: dict[Path, tuple[_EnvFile, Findings]] = {}
        self._seen: dict[Path, _EnvFile] = {}

    @property
    def findings(self) -> Findings:
        """What all of them give."""
        return Findings.merge(findings for _, findings in self._loaded.values())

    def load(self) -> None:
        """Find them all."""
        places = [self._place(path) for path in plugin_directories(self._root)]
        self._seen = {place.path: _env_file(place) for place in places}
        self._loaded = {place.path: (self._seen[place.path], _find_in(place)) for place in places}

    def take_changes(self) -> bool:
        """Take up each ``.env`` that has changed and is at rest; tell whether any has."""
        changed = False
        for path, (taken, _) in self._loaded.items():
            place = self._place(path)
            now, before = _env_file(place), self._seen[path]
            self._seen[path] = now
            if now == before and now != taken:
                self._loaded[path] = (now, _find_in(place))
                changed = True
        return changed


#: What was found in directories of the package, which do not change while a process runs.
_found: dict[Path, Findings] = {}


def _find_in(place: Place) -> Findings:
    """Import a shipped plugin once in a process: there are many, and most have no channel."""
    found = _found.get(place.path)
    if found is None:
        found = find_in_directory(place)
        if found.broken:
            return found
        _found[place.path] = found
    # Another object: what was built with the values of another file is built anew.
    return Findings([replace(each, env_file=place.env_file) for each in found.found])


def _env_file(place: Place) -> _EnvFile:
    path = place.env_file
    return _EnvFile(path, None if path is None else mark_of_file(path))
