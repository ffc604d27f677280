"""Who can change a plugin's code: a file of it runs with all rights of the server."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: So many are named; a directory where everything is loose is one mistake.
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Loose:
    """Something in a plugin directory that others can change."""

    path: Path
    #: What is wrong and what to do about it, in one sentence.
    reason: str


def find_loose(root: Path) -> list[Loose]:
    """Return what of a plugin directory somebody else than its owner or root can change.

    The group of the process's own user may write, for many systems give each user one.
    """
    found: list[Loose] = []
    for path in _everything(root):
        reason = _reason(path, root)
        if reason is not None:
            found.append(Loose(path, reason))
        if len(found) == MOST_NAMED:
            break
    return found


def _everything(root: Path) -> Iterator[Path]:
    """Give the directory and what is read of it, without following links."""
    yield root
    for directory, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name != "__pycache__")
        yield from (Path(directory, name) for name in names)
        yield from (
            Path(directory, name)
            for name in sorted(files)
            if name.endswith(".py") or name.startswith(".env")
        )


def _reason(path: Path, root: Path) -> str | None:
    with suppress(OSError):  # it went away meanwhile
        if path != root and path.is_symlink():
            if path.resolve().is_relative_to(root.resolve()):
                return None
            return "it is a link that leads out of the plugin directory: copy the files into it."
        found = path.stat()
        others = bool(found.st_mode & stat.S_IWOTH)
        group = bool(found.st_mode & stat.S_IWGRP) and found.st_gid != os.getegid()
        if found.st_uid not in {0, os.geteuid()}:
            return "it belongs to another user, who can change what runs here: `chown` it."
        if others or group:
            return f"others can change what runs here: run `chmod go-w {path}`."
    return None
