"""The operator's plugin directories: what each gave when it was loaded, and what has changed since.

A directory is loaded anew when it stands otherwise than when it was loaded, and stood so at two
looks that followed each other: a file that is being written is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import invalidate_caches
from pathlib import Path

from almenara.loader import breakage
from almenara.loader.discovery import Place, find_in_directory, plugin_directories, plugin_files
from almenara.loader.found import BrokenPlugin, Findings, FoundPlugin
from almenara.loader.permissions import find_loose
from almenara.loader.standing import Content, Mark, installed_mark, mark_of, read_content

_NOTHING = Content("", "")


@dataclass(frozen=True, slots=True)
class _Survey:
    """How everything stands at one look."""

    marks: dict[Path, Mark] = field(default_factory=dict)
    #: Files that stand beside the directories instead of in one.
    loose: tuple[Path, ...] = ()
    #: Why the plugin directory itself cannot be read.
    error: str | None = None
    #: Where packages are installed; a broken plugin may have waited for one.
    installed: Mark = ()


@dataclass(slots=True)
class _Loaded:
    """One directory as it was loaded."""

    mark: Mark
    installed: Mark
    content: Content
    findings: Findings

    def stands(self, mark: Mark, installed: Mark) -> bool:
        """Tell whether nothing has changed that could change what it gives."""
        return self.mark == mark and (not self.findings.broken or self.installed == installed)


class Directories:
    """Everything below one plugin directory; its methods block, and are called by one thread."""

    def __init__(
        self, root: Path | None, place: Callable[[Path], Place], *, strict: bool = False
    ) -> None:
        self._root = root
        self._place = place
        self._strict = strict
        self._loaded: dict[Path, _Loaded] = {}
        #: How everything stood when it was taken last, and at the last look.
        self._taken = _Survey()
        self._seen = _Survey()

    @property
    def findings(self) -> Findings:
        """What all of them give; with what runs on of versions before broken ones."""
        parts = [self._loaded[path].findings for path in sorted(self._loaded)]
        return Findings.merge([*parts, Findings(broken=self._beside())])

    def load(self) -> None:
        """Import everything anew, whatever ran before."""
        survey = self._survey()
        self._loaded = {path: self._load(path, survey, None) for path in survey.marks}
        self._taken = self._seen = survey

    def take_changes(self) -> bool:
        """Import what has changed since it was loaded and is at rest; tell whether anything is new.

        Where a new version is broken, the classes that it leaves without an heir run on.
        """
        survey, before = self._survey(), self._seen
        self._seen = survey
        changed = self._take_root(survey, before)
        if survey.error is not None:
            return changed  # what cannot be seen is not gone
        if before.error is None:
            for path in self._loaded.keys() - survey.marks.keys() - before.marks.keys():
                del self._loaded[path]
                changed = True
        for path, mark in survey.marks.items():
            loaded = self._loaded.get(path)
            if loaded is not None and loaded.stands(mark, survey.installed):
                continue
            if before.marks.get(path) == mark and before.installed == survey.installed:
                changed |= self._take(path, survey, loaded)
        return changed

    def _take_root(self, survey: _Survey, before: _Survey) -> bool:
        """Take up how the plugin directory itself stands, beside its directories."""
        now, then = (survey.loose, survey.error), (before.loose, before.error)
        if now != then or now == (self._taken.loose, self._taken.error):
            return False
        self._taken = survey
        return True

    def _take(self, path: Path, survey: _Survey, loaded: _Loaded | None) -> bool:
        """Load a directory, unless it holds what it held: a file may only have been touched."""
        if loaded is not None and not loaded.findings.broken:
            mark = survey.marks[path]
            if read_content(path) == loaded.content:
                loaded.mark = mark
                return False
        self._loaded[path] = self._load(path, survey, loaded)
        return True

    def _load(self, path: Path, survey: _Survey, before: _Loaded | None) -> _Loaded:
        content = read_content(path)
        findings = self._refuse(path)
        if not findings.broken:
            # A module that was installed meanwhile would not be seen else.
            invalidate_caches()
            findings = find_in_directory(self._place(path))
        if before is not None:
            findings = _keep_running(before.findings.found, findings)
        return _Loaded(survey.marks[path], survey.installed, content, findings)

    def _refuse(self, path: Path) -> Findings:
        """Report what others can change, where that is not to be run."""
        root = self._root
        loose = find_loose(root) if self._strict and root is not None else []
        reasons = [
            breakage.loose_rights_reason(one.path, one.reason)
            for one in loose
            if one.path == root or one.path.is_relative_to(path)
        ]
        return Findings(broken=[self._place(path).broken(path, each) for each in reasons[:1]])

    def _survey(self) -> _Survey:
        if self._root is None:
            return _Survey()
        try:
            marks = {path: mark_of(path) for path in plugin_directories(self._root)}
            loose = tuple(plugin_files(self._root))
        except FileNotFoundError:
            return _Survey()
        except OSError as error:
            return _Survey(error=f"The plugin directory cannot be read: {error.strerror}.")
        return _Survey(marks, loose, None, installed_mark())

    def _beside(self) -> list[BrokenPlugin]:
        """Report what is wrong with the plugin directory itself."""
        root, taken = self._root, self._taken
        if root is None:
            return []
        if taken.error is not None:
            return [BrokenPlugin(None, root.name, root, taken.error, None)]
        return [
            BrokenPlugin(None, root.name, file, breakage.loose_file_reason(file), None)
            for file in taken.loose
        ]


def _keep_running(old: list[FoundPlugin], new: Findings) -> Findings:
    """Return a new version, with those classes of the old one in whose place it has only errors."""
    names = {each.qualified_name for each in new.found}
    lost = [each for each in old if each.qualified_name not in names]
    kept = [each for each in lost if any(_hides(one, each) for one in new.broken)]
    broken = []
    for one in new.broken:
        hidden = [each.revision for each in kept if _hides(one, each)]
        broken.append(replace(one, runs_on=hidden[0]) if hidden else one)
    return Findings([*new.found, *kept], broken)


def _hides(broken: BrokenPlugin, plugin: FoundPlugin) -> bool:
    """Tell whether a breakage may be why a class is not found any more."""
    if broken.qualified_name == plugin.qualified_name:
        return True
    directory = plugin.file.parent
    return not _is_gone(plugin.file) and broken.file in {
        plugin.file,
        directory,
        directory / "__init__.py",
    }


def _is_gone(file: Path) -> bool:
    """Tell whether a file was taken away; one that cannot be looked at was not."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
