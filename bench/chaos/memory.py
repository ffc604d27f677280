"""How much memory a process has, and how much more it had at its worst."""

from __future__ import annotations

import re
from pathlib import Path

from bench.chaos.scenario import CannotRun


class Memory:
    """The resident memory of a process, from this moment on."""

    def __init__(self, pid: int) -> None:
        self._directory = Path(f"/proc/{pid}")
        if not (self._directory / "clear_refs").exists():
            raise CannotRun("the memory of a process is measured on Linux only")
        # The most that it had is counted anew from here.
        (self._directory / "clear_refs").write_text("5")
        self._before = self._kibibytes("VmRSS")

    def growth_mib(self) -> float:
        """Return how much more it had than at the beginning, at its worst."""
        return round((self._kibibytes("VmHWM") - self._before) / 1024, 1)

    def _kibibytes(self, name: str) -> int:
        status = (self._directory / "status").read_text()
        [found] = re.findall(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
        return int(found)
