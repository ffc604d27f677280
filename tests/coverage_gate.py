"""Prints the coverage report and enforces the gate: 95 % of the branches.

The gate is open when a server was missing (its tests did not run) or when only some tests ran.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from coverage import Coverage

GATE_PERCENT = 95.0
#: Written by conftest.py through pytest's cache.
MISSING_SERVERS = Path(".pytest_cache/v/almenara/missing_servers")


def branch_percent(totals: dict[str, float]) -> float:
    """Return how many of the branches were taken, in percent."""
    if not totals["num_branches"]:
        return 100.0
    return 100.0 * totals["covered_branches"] / totals["num_branches"]


def verdict(percent: float, missing: list[str], *, partial: bool) -> tuple[str, bool]:
    """Say what the gate thinks of a run, and whether it lets the run pass."""
    found = f"Branch coverage: {percent:.1f} %"
    if partial:
        return f"{found} (only some tests ran: no gate).", True
    if missing:
        return f"{found} (no gate: {' and '.join(missing)} did not answer).", True
    if percent < GATE_PERCENT:
        return f"{found}; the gate is {GATE_PERCENT:.0f} %: too little.", False
    return f"{found}; the gate is {GATE_PERCENT:.0f} %.", True


def missing_servers(path: Path = MISSING_SERVERS) -> list[str]:
    """Return the names of the servers that the last run missed."""
    return list(json.loads(path.read_text())) if path.exists() else []


def main(arguments: list[str]) -> int:
    """Report, and return the exit code."""
    coverage = Coverage()
    coverage.load()
    coverage.report()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "coverage.json"
        coverage.json_report(outfile=str(path))
        totals = json.loads(path.read_text())["totals"]
    sentence, passes = verdict(
        branch_percent(totals), missing_servers(), partial="--partial" in arguments
    )
    print(sentence)  # noqa: T201 - a command's output
    return 0 if passes else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
