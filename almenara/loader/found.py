"""What the loader hands out: plugins that were found, plugins that are broken, plugins built."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from almenara.plugin import PluginSettings

#: Where a plugin comes from.
Source = Literal["directory", "shipped", "entry point"]


@dataclass(frozen=True)
class FoundPlugin:
    """A class that has ``send_message``; it was imported, but not built."""

    #: The class's name, such as ``Email``.
    name: str
    #: The directory's name and the class's, such as ``email.Email``.
    qualified_name: str
    cls: type
    source: Source
    #: The file that the class stands in.
    file: Path
    #: The ``.env`` that its settings are read from; ``None`` when there is none.
    env_file: Path | None
    #: Its nested ``Settings``; ``None`` when it takes none.
    settings: type[PluginSettings] | None
    #: A short hash of the code in its directory: another content, another revision.
    revision: str
    #: Keeps the modules of its directory importable for as long as somebody holds this.
    package: object | None = field(default=None, repr=False, compare=False)

    @property
    def verifies(self) -> bool:
        """Whether it has a silent check."""
        return callable(getattr(self.cls, "verify", None))


@dataclass(frozen=True)
class BrokenPlugin:
    """A file, directory or class that cannot be used, and why."""

    #: The class's name, if it is known.
    name: str | None
    #: The name of the directory it stands in.
    directory: str
    file: Path
    #: What is wrong and what to do, in one sentence; secrets of the ``.env`` are masked.
    reason: str
    #: Where it was raised, from the plugin's own file on; masked too.
    traceback: str | None
    #: The revision of the earlier version that runs on in spite of it.
    runs_on: str | None = None

    @property
    def qualified_name(self) -> str | None:
        """The name under which a channel would ask for it, if the class's name is known."""
        return f"{self.directory}.{self.name}" if self.name else None


@dataclass(eq=False)
class Instance:
    """One built plugin, ready to be called."""

    plugin: FoundPlugin
    #: The object that has ``send_message``.
    target: object
    #: Every value to mask in what this plugin writes or raises.
    secrets: frozenset[str]
    #: How many calls use it at this moment; ``dispatch/instances.py`` counts.
    user_count: int = 0


@dataclass
class Findings:
    """What one place gave: the good beside the broken."""

    found: list[FoundPlugin] = field(default_factory=list)
    broken: list[BrokenPlugin] = field(default_factory=list)

    @cached_property
    def by_name(self) -> dict[str, list[FoundPlugin]]:
        """The good ones by each name that a channel may use; every attempt looks here."""
        names: dict[str, list[FoundPlugin]] = {}
        for one in self.found:
            for name in {one.name, one.qualified_name}:
                names.setdefault(name, []).append(one)
        return names

    @classmethod
    def merge(cls, parts: Iterable[Findings]) -> Findings:
        """Return everything of all parts, in their order."""
        whole = cls()
        for part in parts:
            whole.found += part.found
            whole.broken += part.broken
        return whole
