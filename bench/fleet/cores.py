"""What processes use of the processors and of the memory, read from `/proc`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def used_seconds(root: int) -> float:
    """Return the processor time of a process and of all that it started and that still lives."""
    return sum(int(fields[11]) + int(fields[12]) for fields in _family(root)) / _TICKS


def resident_bytes(root: int) -> int:
    """Return the memory of a process and of all that it started, what they share counted twice."""
    return sum(int(fields[21]) for fields in _family(root)) * _PAGE_BYTES


def _family(root: int) -> Iterator[list[str]]:
    """Give what `/proc` says of a process and its descendants, from its state on."""
    children: dict[int, list[int]] = {}
    found: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name stands in parentheses, and may hold anything.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
            found[int(entry.name)] = fields
    left = [root]
    while left:
        process = left.pop()
        if process in found:
            yield found[process]
        left += children.get(process, [])
