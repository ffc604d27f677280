"""What a run was made on: the date, the versions, and the machine in words."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.chaos.postgres import programs
from bench.chaos.scenario import CannotRun

_SYNCS = 200


def describe_machine(directory: Path | None) -> dict[str, str]:
    """Describe this machine.

    Args:
        directory: where the stages are made; its disk is measured.
    """
    with tempfile.TemporaryDirectory(dir=directory) as place:
        sync = _sync_milliseconds(Path(place))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "almenara": f"{version('almenara')} ({_commit()})",
        "versions": f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{_postgres_version()}",
        "machine": f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB of memory, "
        f"{platform.system()} {platform.release()}, fdatasync p50 {sync:.2f} ms",
    }


def _sync_milliseconds(directory: Path) -> float:
    """Measure what one synced write of a page costs: the median."""
    waits = []
    descriptor = os.open(directory / "sync", os.O_WRONLY | os.O_CREAT)
    try:
        for _ in range(_SYNCS):
            os.write(descriptor, bytes(4096))
            began = time.perf_counter()
            os.fdatasync(descriptor)
            waits.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
    return statistics.median(waits) * 1000


def _postgres_version() -> str:
    try:
        command = [str(programs() / "postgres"), "--version"]
    except CannotRun:
        return "no PostgreSQL"
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return f"PostgreSQL {answer.split()[2]}"


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    return finished.stdout.strip() or "no commit"
