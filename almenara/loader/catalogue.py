"""The catalogue of plugins: what is there, under which names, and why something is not."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from almenara.errors import AmbiguousPluginError, BrokenPluginError, PluginError
from almenara.loader import breakage, building
from almenara.loader.directories import Directories
from almenara.loader.discovery import Place, find_in_packages, is_file
from almenara.loader.found import BrokenPlugin, Findings, FoundPlugin, Instance, Source
from almenara.loader.importing import collect_garbage
from almenara.loader.permissions import Loose, find_loose
from almenara.loader.shipped import Shipped

#: The plugins that come with Almenara.
SHIPPED = Path(__file__).parent.parent / "plugins"


@dataclass(frozen=True, slots=True)
class Change:
    """What is otherwise since files of plugins were taken up."""

    #: The qualified names of those that are new, or are another version now.
    loaded: tuple[str, ...]
    #: Those that are not there any more.
    gone: tuple[str, ...]


class Plugins:
    """Every plugin of this process, by name; empty until :meth:`load`."""

    def __init__(
        self,
        plugins_dir: Path | None,
        *,
        import_timeout_seconds: float = 10.0,
        shipped: bool = True,
        strict: bool = False,
    ) -> None:
        # Absolute: a plugin that asks for its own __file__ must not depend on where we stand.
        self._plugins_dir = plugins_dir.absolute() if plugins_dir else None
        self._import_timeout_seconds = import_timeout_seconds
        self._directories = Directories(self._plugins_dir, self._place, strict=strict)
        self._shipped = Shipped(SHIPPED, self._place) if shipped else None
        self._packages = Findings()
        self._findings = Findings()
        #: One thread at a time looks at the disk; ``found`` and ``broken`` can be read meanwhile.
        self._looking = threading.Lock()

    @property
    def found(self) -> Sequence[FoundPlugin]:
        """The plugins that can be used, by qualified name."""
        return self._findings.found

    @property
    def broken(self) -> Sequence[BrokenPlugin]:
        """What cannot be used, each with its reason."""
        return self._findings.broken

    def find_loose(self) -> list[Loose]:
        """Return what of the plugin directory others can change; blocks, as :meth:`load` does."""
        return find_loose(self._plugins_dir) if self._plugins_dir else []

    def load(self) -> None:
        """Look through everything anew; blocks, so the caller runs it in a thread.

        Afterwards ``found`` and ``broken`` tell what is there now; until then they are as before.
        Nothing that a plugin's file does while it is imported comes out of here.
        """
        with self._looking:
            self._directories.load()
            if self._shipped:
                self._shipped.load()
            self._packages = find_in_packages(self._import_timeout_seconds)
            self._findings = self._merge(Findings())

    def look(self) -> Change | None:
        """Take up what has changed on the disk; blocks, so the caller runs it in a thread.

        All that changed is there at once, and until then everything is as before. What is being
        used of an earlier version stays whole. A version that is broken replaces nothing.

        Returns:
            ``None`` when everything is as it was at the last look, or moves still.
        """
        with self._looking:
            collect_garbage()
            changed = self._directories.take_changes()
            if self._shipped:
                changed |= self._shipped.take_changes()
            if not changed:
                return None
            before = {each.qualified_name: each for each in self._findings.found}
            self._findings = self._merge(self._findings)
            after = {each.qualified_name: each for each in self._findings.found}
            return Change(
                loaded=tuple(name for name in after if after[name] is not before.get(name)),
                gone=tuple(name for name in before if name not in after),
            )

    def get(self, name: str) -> FoundPlugin:
        """Return the plugin that a channel names, such as ``Email`` or ``email.Email``.

        Raises:
            AmbiguousPluginError: several directories have a class of this name.
            BrokenPluginError: it is there, but cannot be used.
            PluginError: there is no such plugin.
        """
        findings = self._findings
        matches = findings.by_name.get(name, [])
        if len(matches) == 1:
            return matches[0]
        if matches:
            places = " and ".join(f"{each.qualified_name} in {each.file}" for each in matches)
            raise AmbiguousPluginError(
                f"Several plugins are named {name!r}: {places}. Write the name with its directory."
            )
        for broken in findings.broken:
            if _may_be(broken, name):
                raise BrokenPluginError(
                    f"The plugin {name!r} is broken: {broken.file}: {broken.reason}"
                )
        raise PluginError(f"There is no plugin {name!r}{_nearest(name, findings.found)}")

    def build(
        self, plugin: FoundPlugin, values: Mapping[str, Any], *, hidden: Iterable[str] = ()
    ) -> Instance:
        """Build a plugin for a channel with the channel's own settings, secrets in clear.

        Args:
            hidden: texts that are masked besides what the plugin declares as secret.

        Raises:
            InvalidInputError: a setting is unknown, missing or wrong; no input value is shown.
            BrokenPluginError: the plugin's own code raised while it was being built.
        """
        return building.build(plugin, values, hidden=hidden)

    def check(self, plugin: FoundPlugin, values: Mapping[str, Any]) -> list[str]:
        """Check the settings of a channel that is being written; return warnings.

        Raises:
            InvalidInputError: a given setting is unknown or wrong; no input value is shown.
            BrokenPluginError: the plugin's own code raised while its settings were read.
        """
        return building.check(plugin, values)

    def _merge(self, running: Findings) -> Findings:
        """Put together what directories, this package and installed packages gave.

        Args:
            running: what is used so far.
        """
        own = self._directories.findings
        shipped = list(self._shipped.findings.found) if self._shipped else []
        broken = list(own.broken)
        # A broken class of the operator's stands in for the shipped one, too: sending by another
        # class than the one that was written would be a surprise. But what ran, runs on.
        taken = {each.qualified_name for each in own.found}
        ran = {each.qualified_name: each for each in running.found if each.source == "shipped"}
        for index, each in enumerate(broken):
            name = each.qualified_name
            if name in ran and name not in taken:
                broken[index] = replace(each, runs_on=ran[name].revision)
            elif name:
                taken.add(name)
        found = [*own.found, *(each for each in shipped if each.qualified_name not in taken)]
        findings = Findings(found, broken)
        if self._shipped:
            findings.broken += self._shipped.findings.broken
        _add_packages(findings, self._packages)
        findings.found.sort(key=lambda plugin: plugin.qualified_name)
        return findings

    def _place(self, path: Path) -> Place:
        shipped = path.parent == SHIPPED
        source: Source = "shipped" if shipped else "directory"
        candidates = [path / ".env"]
        if shipped and self._plugins_dir:
            # The package itself is read-only: the operator's file stands in the operator's place.
            candidates.insert(0, self._plugins_dir / path.name / ".env")
        return Place(
            path=path,
            name=path.name,
            source=source,
            env_file=next((file for file in candidates if is_file(file)), None),
            import_timeout_seconds=self._import_timeout_seconds,
            may_be_empty=not shipped and (SHIPPED / path.name).is_dir(),
        )


def _add_packages(findings: Findings, packages: Findings) -> None:
    """Add what installed packages bring, without letting them take a name that is in use."""
    findings.broken += packages.broken
    owners = {plugin.qualified_name: plugin for plugin in findings.found}
    for plugin in packages.found:
        owner = owners.setdefault(plugin.qualified_name, plugin)
        if owner is plugin:
            findings.found.append(plugin)
        elif owner.cls is not plugin.cls:
            reason = breakage.taken_reason(plugin.qualified_name, owner.file)
            directory = plugin.qualified_name.rpartition(".")[0]
            broken = BrokenPlugin(plugin.name, directory, plugin.file, reason, None)
            findings.broken.append(broken)


def _may_be(broken: BrokenPlugin, name: str) -> bool:
    """Tell whether a broken plugin is what a channel means by this name."""
    if broken.name:
        return name in {broken.name, broken.qualified_name}
    directory, _, class_name = name.rpartition(".")
    if directory:
        return broken.directory == directory
    return class_name.lower() in {broken.directory.lower(), broken.file.stem.lower()}


def _nearest(name: str, found: Sequence[FoundPlugin]) -> str:
    names = {known.lower(): known for each in found for known in (each.qualified_name, each.name)}
    near = [names[match] for match in get_close_matches(name.lower(), names)]
    return f"; did you mean {' or '.join(near)}?" if near else "."
