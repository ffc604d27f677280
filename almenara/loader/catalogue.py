"""The catalogue of plugins: what is there, under which names, and why something is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from almenara.errors import AmbiguousPluginError, BrokenPluginError, PluginError
from almenara.loader import breakage, building
from almenara.loader.discovery import (
    Place,
    find_in_directory,
    find_in_packages,
    is_file,
    plugin_directories,
    plugin_files,
)
from almenara.loader.found import BrokenPlugin, Findings, FoundPlugin, Instance, Source

#: The plugins that come with Almenara; they enter through the same door as anybody's.
SHIPPED = Path(__file__).parent.parent / "plugins"


class Plugins:
    """Every plugin of this process, by name; empty until :meth:`load`."""

    def __init__(
        self,
        plugins_dir: Path | None,
        *,
        import_timeout_seconds: float = 10.0,
        shipped: bool = True,
    ) -> None:
        # Absolute: a plugin that asks for its own __file__ must not depend on where we stand.
        self._plugins_dir = plugins_dir.absolute() if plugins_dir else None
        self._import_timeout_seconds = import_timeout_seconds
        self._shipped = shipped
        self._findings = Findings()

    @property
    def found(self) -> Sequence[FoundPlugin]:
        """The plugins that can be used, by qualified name."""
        return self._findings.found

    @property
    def broken(self) -> Sequence[BrokenPlugin]:
        """What cannot be used, each with its reason."""
        return self._findings.broken

    def load(self) -> None:
        """Look through everything anew; blocks, so the caller runs it in a thread.

        Afterwards ``found`` and ``broken`` tell what is there now; until then they are as before.
        Nothing that a plugin's file does while it is imported comes out of here.
        """
        own = self._find_own()
        shipped = self._find_shipped() if self._shipped else Findings()
        # A broken class of the operator's stands in for the shipped one, too: sending by another
        # class than the one that was written would be a surprise.
        taken = {each.qualified_name for each in own.found}
        taken |= {each.qualified_name for each in own.broken if each.qualified_name}
        shipped.found = [each for each in shipped.found if each.qualified_name not in taken]
        packages = find_in_packages(self._import_timeout_seconds)
        findings = Findings.merge([own, shipped])
        _add_packages(findings, packages)
        findings.found.sort(key=lambda plugin: plugin.qualified_name)
        self._findings = findings

    def get(self, name: str) -> FoundPlugin:
        """Return the plugin that a channel names, such as ``Email`` or ``email.Email``.

        Raises:
            AmbiguousPluginError: several directories have a class of this name.
            BrokenPluginError: it is there, but cannot be used.
            PluginError: there is no such plugin.
        """
        findings = self._findings
        matches = [each for each in findings.found if name in {each.qualified_name, each.name}]
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

    def _find_own(self) -> Findings:
        root = self._plugins_dir
        if root is None:
            return Findings()
        try:
            directories = plugin_directories(root)
            loose = plugin_files(root)
        except FileNotFoundError:
            return Findings()
        except OSError as error:
            reason = f"The plugin directory cannot be read: {error.strerror}."
            return Findings(broken=[BrokenPlugin(None, root.name, root, reason, None)])
        findings = Findings.merge(
            find_in_directory(self._place(path, "directory")) for path in directories
        )
        for file in loose:
            reason = breakage.loose_file_reason(file)
            findings.broken.append(BrokenPlugin(None, root.name, file, reason, None))
        return findings

    def _find_shipped(self) -> Findings:
        return Findings.merge(
            _find_shipped_in(self._place(path, "shipped")) for path in plugin_directories(SHIPPED)
        )

    def _place(self, path: Path, source: Source) -> Place:
        candidates = [path / ".env"]
        if source == "shipped" and self._plugins_dir:
            # The package itself is read-only: the operator's file stands in the operator's place.
            candidates.insert(0, self._plugins_dir / path.name / ".env")
        env_file = next((file for file in candidates if is_file(file)), None)
        return Place(
            path=path,
            name=path.name,
            source=source,
            env_file=env_file,
            import_timeout_seconds=self._import_timeout_seconds,
            may_be_empty=source == "directory" and (SHIPPED / path.name).is_dir(),
        )


#: What was found in directories of the package, which do not change while a process runs.
_shipped: dict[Place, Findings] = {}


def _find_shipped_in(place: Place) -> Findings:
    """Import a shipped plugin once in a process: there are many, and most have no channel."""
    found = _shipped.get(place)
    if found is None:
        found = find_in_directory(place)
        if not found.broken:
            _shipped[place] = found
    return found


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
