"""Looks through directories and installed packages for plugin classes."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel

from almenara.loader import breakage
from almenara.loader.found import BrokenPlugin, Findings, FoundPlugin, Source
from almenara.loader.importing import Package, call_within, import_file
from almenara.loader.masking import env_file_values, mask
from almenara.loader.standing import read_content
from almenara.plugin import settings_class

ENTRY_POINT_GROUP = "almenara.plugins"


@dataclass(frozen=True)
class Place:
    """One plugin directory, and what holds for everything in it."""

    path: Path
    name: str
    source: Source
    env_file: Path | None
    import_timeout_seconds: float
    #: Nothing need stand here: the operator's directory for the ``.env`` of a shipped plugin.
    may_be_empty: bool = False

    def broken(
        self, file: Path, reason: str, name: str | None = None, trace: str | None = None
    ) -> BrokenPlugin:
        """Return the report of one breakage, without the values of the ``.env``."""
        secrets = env_file_values(self.env_file)
        trace = None if trace is None else mask(trace, secrets)
        return BrokenPlugin(name, self.name, file, mask(reason, secrets), trace)


def is_file(path: Path) -> bool:
    """Tell whether this is a file; ``False`` when that cannot be found out."""
    with suppress(OSError):
        return path.is_file()
    return False


def is_directory(path: Path) -> bool:
    """Tell whether this is a directory; ``False`` when that cannot be found out."""
    with suppress(OSError):
        return path.is_dir()
    return False


def plugin_directories(root: Path) -> list[Path]:
    """Return the directories below a plugin directory that are searched.

    Raises:
        OSError: the directory is there but cannot be listed.
    """
    return [path for path in _entries(root) if is_directory(path)]


def plugin_files(directory: Path) -> list[Path]:
    """Return the files of a directory that are searched for plugins.

    Raises:
        OSError: the directory cannot be listed.
    """
    return [
        path
        for path in _entries(directory)
        if path.suffix == ".py"
        and not path.name.startswith("test_")
        and path.name != "conftest.py"
        and not is_directory(path)
    ]


def find_in_directory(place: Place) -> Findings:
    """Import every file of a directory and return its plugins; never raises."""
    try:
        files = plugin_files(place.path)
    except OSError as error:
        reason = f"The directory cannot be read: {error.strerror}."
        return Findings(broken=[place.broken(place.path, reason)])
    # Read first: an import takes time, and code changed meanwhile must get another revision.
    revision = read_content(place.path).revision
    package = Package(place.path)
    parts = []
    if is_file(place.path / "__init__.py"):
        parts.append(_attempt(place, place.path / "__init__.py", partial(_run_init, package)))
    names = {file: package.add(file) for file in files}
    for file, module_name in names.items():
        parts.append(_attempt(place, file, partial(_find_in_file, place, file, module_name)))
    findings = _without_twins(place, Findings.merge(parts))
    findings.found = [replace(each, revision=revision, package=package) for each in findings.found]
    empty = not findings.found and not findings.broken
    if empty and (files or not place.may_be_empty):
        reason = breakage.no_class_reason(place.path)
        findings.broken.append(place.broken(place.path, reason))
    return findings


def find_in_packages(import_timeout_seconds: float) -> Findings:
    """Return the plugins that installed packages announce; never raises."""
    parts = []
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP)):
        module = entry_point.value.partition(":")[0].strip()
        # Where it stands is not known before it is imported: this is what is shown if it fails.
        file = Path(module.replace(".", "/") + ".py")
        name = _directory_name(module)
        place = Place(file.parent, name, "entry point", None, import_timeout_seconds)
        find = partial(_find_in_package, place, file, entry_point)
        parts.append(_attempt(place, file, find, entry_point.name))
    return Findings.merge(parts)


def _entries(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if not path.name.startswith((".", "_")))


def _attempt(
    place: Place, file: Path, find: Callable[[], Findings], name: str | None = None
) -> Findings:
    """Run a search in foreign code; turn whatever goes wrong with it into a report."""

    def search() -> Findings:
        try:
            return find()
        except BaseException as error:  # noqa: BLE001  a plugin's file may raise anything
            reason = breakage.import_reason(error, file)
            trace = breakage.import_traceback(error, place.path)
            class_name = name or _only_class_name(file)
            return Findings(broken=[place.broken(file, reason, class_name, trace)])

    findings = call_within(place.import_timeout_seconds, search)
    if findings is None:
        reason = breakage.late_reason(place.import_timeout_seconds)
        class_name = name or _only_class_name(file)
        findings = Findings(broken=[place.broken(file, reason, class_name)])
    return findings


def _run_init(package: Package) -> Findings:
    package.run_init()
    return Findings()


def _find_in_file(place: Place, file: Path, module_name: str) -> Findings:
    return Findings.merge(
        _examine(place, file, name, cls) for name, cls in _plugin_classes(import_file(module_name))
    )


def _find_in_package(place: Place, announced: Path, entry_point: EntryPoint) -> Findings:
    classes = list(_announced_classes(entry_point.load()))
    if not classes:
        reason = breakage.empty_package_reason(entry_point.name)
        return Findings(broken=[place.broken(announced, reason, entry_point.name)])
    parts = []
    for name, cls in classes:
        file = Path(inspect.getfile(cls))
        env_file = file.parent / ".env"
        here = Place(
            path=file.parent,
            name=_directory_name(cls.__module__),
            source=place.source,
            env_file=env_file if is_file(env_file) else None,
            import_timeout_seconds=place.import_timeout_seconds,
        )
        parts.append(_examine(here, file, name, cls, _revision(file)))
    return Findings.merge(parts)


def _announced_classes(loaded: object) -> Iterable[tuple[str, type]]:
    if isinstance(loaded, type):
        return [(loaded.__name__, loaded)]
    return _plugin_classes(loaded) if isinstance(loaded, ModuleType) else ()


def _plugin_classes(module: ModuleType) -> Iterator[tuple[str, type]]:
    """Give the public classes that this module defines and that have the method, each once."""
    names: dict[type, str] = {}
    for name, value in vars(module).items():
        defined_here = isinstance(value, type) and value.__module__ == module.__name__
        if name.startswith("_") or not defined_here or not hasattr(value, "send_message"):
            continue
        if value not in names or name == value.__name__:
            names[value] = name
    return ((name, cls) for cls, name in names.items())


def _examine(place: Place, file: Path, name: str, cls: type, revision: str = "") -> Findings:
    """Hold one class to the contract, as far as that can be done without building it."""
    if not _takes_two_arguments(cls):
        return Findings(broken=[place.broken(file, breakage.shape_reason(name), name)])
    settings = settings_class(cls)
    nested = getattr(cls, "Settings", None)
    if settings is None and isinstance(nested, type) and issubclass(nested, BaseModel):
        return Findings(broken=[place.broken(file, breakage.settings_reason(name), name)])
    found = FoundPlugin(
        name=name,
        qualified_name=f"{place.name}.{name}",
        cls=cls,
        source=place.source,
        file=file,
        env_file=place.env_file,
        settings=settings,
        revision=revision,
    )
    return Findings(found=[found])


def _takes_two_arguments(cls: type) -> bool:
    """Tell whether an instance's ``send_message`` can be called with two positional arguments."""
    method = inspect.getattr_static(cls, "send_message", None)
    try:
        # Bound to a stand-in: building an instance just to look at it could have effects.
        bound = method.__get__(object(), cls) if hasattr(type(method), "__get__") else method
        inspect.signature(bound).bind(object(), object())
    except (TypeError, AttributeError):
        return False
    except ValueError:
        return True  # a compiled function does not tell; the attempt will
    return True


def _without_twins(place: Place, findings: Findings) -> Findings:
    """Report classes of one name instead of choosing one of them by chance."""
    by_name: dict[str, list[FoundPlugin]] = defaultdict(list)
    for plugin in findings.found:
        by_name[plugin.name].append(plugin)
    result = Findings(broken=findings.broken)
    for name, plugins in by_name.items():
        if len(plugins) == 1:
            result.found += plugins
        else:
            files = [plugin.file for plugin in plugins]
            reason = breakage.twins_reason(name, files)
            result.broken.append(place.broken(files[0], reason, name))
    return result


def _only_class_name(file: Path) -> str | None:
    """Return the name of a file's only public class, as far as its text tells."""
    text = ""
    with suppress(OSError):
        # Not a pipe: reading one would wait for ever.
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    names = re.findall(r"^class\s+([A-Za-z]\w*)", text, flags=re.MULTILINE)
    return names[0] if len(names) == 1 else None


def _directory_name(module: str) -> str:
    """Return the name of the package that a module stands in, or its own if it stands alone."""
    parts = module.split(".")
    return parts[-2] if len(parts) > 1 else parts[0]


def _revision(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
