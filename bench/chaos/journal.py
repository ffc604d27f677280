"""The journal: each fault with its time, on two clocks, and the process that it hit."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


class Journal:
    """Appends a line for each thing that was done to the product."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, what: str, *, pid: int | None = None, **more: Any) -> None:
        """Write down what is done now.

        Args:
            what: the fault, or ``start`` and ``ready`` of a product.
            pid: the process that it was done to.
        """
        line = {"what": what, "pid": pid, "at": time.monotonic(), "wall": time.time()} | more
        append_line(self._path, line)


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Append one line of JSON by one write, so that no reader ever sees half of it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines; one that nobody wrote to is empty."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
