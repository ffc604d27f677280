"""How plugin directories stand on the disk: cheap marks that show a change, and their content.

A mark is made of what ``stat`` tells, so it works on any file system and reads nothing. It moves
with every write, rename and change of rights; whether the content is another one, a digest tells.
"""

from __future__ import annotations

import hashlib
import os
import site
import stat
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

#: What identifies one file as it stands, or the number of the error that hides it.
Mark = tuple[tuple[object, ...], ...]
_Stat = tuple[int, ...] | int

#: Files of a plugin are looked for so many directories deep below its own.
DEEPEST = 3
_CODE = (".py", *EXTENSION_SUFFIXES)
#: Besides its code: the values of its settings, and what it needs.
_BESIDE_CODE = (".env", "requirements.txt")


@dataclass(frozen=True, slots=True)
class Content:
    """What a plugin directory holds, as digests."""

    #: Of the code alone; shown, so nothing of a ``.env`` may be guessed from it.
    revision: str
    #: Of everything that is watched; never shown.
    whole: str


def mark_of(directory: Path) -> Mark:
    """Return the mark of everything in a plugin directory that makes it what it is."""
    return tuple(
        (name, *found) if isinstance(found, tuple) else (name, found)
        for name, found in _walk(directory)
    )


def mark_of_file(file: Path) -> Mark:
    """Return the mark of one file, which may be absent."""
    found = _stat(file)
    return (found if isinstance(found, tuple) else (found,),)


def installed_mark() -> Mark:
    """Return the mark of where packages are installed: it moves when one comes or goes."""
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    if site.ENABLE_USER_SITE:
        paths.add(site.getusersitepackages())
    return tuple((path, *mark_of_file(Path(path))[0]) for path in sorted(paths))


def read_content(directory: Path) -> Content:
    """Read what a plugin directory holds; what cannot be read counts as its error."""
    code, whole = hashlib.sha256(), hashlib.sha256()
    for name, found in _walk(directory):
        part = f"{name}\0".encode("utf-8", "surrogateescape") + _read(directory / name, found)
        whole.update(part)
        if name.endswith(_CODE):
            code.update(part)
    return Content(code.hexdigest()[:12], whole.hexdigest())


def _read(path: Path, found: _Stat) -> bytes:
    if isinstance(found, int):
        return b"error %d" % found
    if not stat.S_ISREG(found[0]):
        return b"no file"  # reading a pipe would wait for ever
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        return b"error %d" % (error.errno or 0)


def _walk(directory: Path, below: str = "", depth: int = 0) -> Iterator[tuple[str, _Stat]]:
    """Give every watched file by its relative name, with what ``stat`` says of it."""
    try:
        with os.scandir(directory) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield below, error.errno or 0
        return
    for entry in listed:
        name = f"{below}{entry.name}"
        if _is_directory(entry):
            if depth < DEEPEST and not entry.name.startswith(".") and entry.name != "__pycache__":
                yield from _walk(Path(entry.path), f"{name}/", depth + 1)
        elif entry.name in _BESIDE_CODE or entry.name.endswith(_CODE):
            yield name, _stat(Path(entry.path))


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _stat(file: Path) -> _Stat:
    try:
        found = file.stat()
    except OSError as error:
        return error.errno or 0
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns
