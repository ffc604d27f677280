"""The figures of several processes of one server: each leaves its own in a file for the others.

A process has a place, which is that of the one before it where that died, and goes on from its
figures. So there are never more files than processes, and what was counted is not taken back.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from almenara.figures.counting import Histogram, counters, gauges, histograms
from almenara.figures.described import BOUNDS, Key

#: The place of a process that is alone.
_ALONE = "0"
#: What reading a file may raise: it is not there, or is none that this version writes.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError)


@dataclass(frozen=True, slots=True)
class Counted:
    """What one process has counted, and the ones before it in its place."""

    place: str
    pid: int
    counters: Mapping[Key, int]
    #: By name and labels: how often each bucket, and the sum.
    histograms: Mapping[Key, tuple[Sequence[int], float]]
    #: By name; empty for a process that has died.
    gauges: Mapping[str, float]


class _Share:
    """The file of this process, where it has one."""

    path: Path | None = None
    writing = threading.Lock()


@contextmanager
def make_places() -> Iterator[Path]:
    """Make the directory of a server's processes, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(
        prefix="almenara-figures-", ignore_cleanup_errors=True
    ) as directory:
        yield Path(directory)


def take_place(path: Path) -> None:
    """Go on from what was counted in a place, and leave this process's figures there."""
    _Share.path = path
    try:
        before = _read(path)
    except _UNREADABLE:
        return
    counters.update({key: counters.get(key, 0) + n for key, n in before.counters.items()})
    for key, (counts, total) in before.histograms.items():
        own = histograms.setdefault(key, Histogram(key[0]))
        own.counts[:] = [one + other for one, other in zip(own.counts, counts, strict=True)]
        own.total += total


def is_shared() -> bool:
    """Tell whether others wait for what this process counts."""
    return _Share.path is not None


def publish() -> None:
    """Leave what was counted by now for the others, if there are any."""
    path = _Share.path
    if path is None:
        return
    fresh = path.with_suffix(f".{os.getpid()}")
    # The event loop and whoever answers a scrape may both be here; a file is written by one.
    # Where it cannot be written, such as on a full disk, the others see what stood there before.
    with _Share.writing, suppress(OSError):
        fresh.write_text(_written(_own()), encoding="utf-8")
        fresh.replace(path)


def everyone() -> list[Counted]:
    """Return what each process of this server has counted, this one included."""
    path = _Share.path
    if path is None:
        return [_own()]
    publish()
    found = [_own()]
    for other in sorted(path.parent.glob("*.json")):
        if other != path:
            # It may be taking its place just now.
            with suppress(*_UNREADABLE):
                found.append(_read(other))
    return found


def _own() -> Counted:
    path = _Share.path
    return Counted(
        place=_ALONE if path is None else path.stem,
        pid=os.getpid(),
        # In one step each: another thread may be asking.
        counters=dict(counters),
        histograms={key: (list(one.counts), one.total) for key, one in list(histograms.items())},
        gauges={name: read() for name, read in list(gauges.items())},
    )


def _written(counted: Counted) -> str:
    return json.dumps(
        {
            "pid": counted.pid,
            "counters": list(counted.counters.items()),
            "histograms": [(key, *one) for key, one in counted.histograms.items()],
            "gauges": counted.gauges,
        }
    )


def _read(path: Path) -> Counted:
    """Read what a process left.

    Raises:
        OSError: there is nothing.
        ValueError, KeyError, TypeError: another version of Almenara wrote it.
    """
    written: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    pid = int(written["pid"])
    found = {
        tuple(key): (counts, float(total))
        for key, counts, total in written["histograms"]
        if key[0] in BOUNDS and len(counts) == len(BOUNDS[key[0]]) + 1
    }
    return Counted(
        place=path.stem,
        pid=pid,
        counters={tuple(key): int(count) for key, count in written["counters"]},
        histograms=found,
        gauges=written["gauges"] if _lives(pid) else {},
    )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
