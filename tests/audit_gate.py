"""Asks pip-audit about the locked requirements, and says in one sentence what came of it.

pip-audit calls a package without data "skipped" and a run of nothing but skipped ones a success;
here only what was really asked about counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

#: What the image installs; the developers' tools are not shipped.
REQUIREMENTS = "requirements-celery.txt"
#: Exit codes: nothing known, something known, and nothing to be learnt from here.
CLEAN, VULNERABLE, UNKNOWN = 0, 1, 2

NO_DATA = (
    "pip-audit could not get the data on vulnerabilities from here ({cause}); "
    "run it where the package index or OSV (ARGS='--vulnerability-service osv') can be reached."
)


def verdict(report: dict[str, Any]) -> tuple[str, int]:
    """Say what a report of pip-audit's means, and the exit code.

    Args:
        report: what `pip-audit --format json` wrote.
    """
    packages = report["dependencies"]
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    found = [
        f"{one['name']} {one['version']}: {known['id']}"
        f" (mended in {', '.join(known['fix_versions']) or 'no version yet'})"
        for one in packages
        for known in one.get("vulns", ())
    ]
    if found:
        return "\n".join([*found, f"{len(found)} known vulnerabilities."]), VULNERABLE
    if skipped:
        return NO_DATA.format(cause=f"{len(skipped)} of {len(packages)} are unknown"), UNKNOWN
    return f"No known vulnerability in {len(packages)} packages of {REQUIREMENTS}.", CLEAN


def read_report(output: str, errors: str) -> tuple[str, int]:
    """Judge what pip-audit wrote, also where it broke down instead."""
    try:
        return verdict(json.loads(output))
    except json.JSONDecodeError:
        last = next(reversed(errors.strip().splitlines()), "no word of its own")
        return NO_DATA.format(cause=last[:200]), UNKNOWN


def main(arguments: list[str]) -> int:
    """Ask, report, and return the exit code."""
    tool = Path(sys.executable).with_name("pip-audit")
    done = subprocess.run(
        [
            tool,
            *("--requirement", REQUIREMENTS, "--require-hashes", "--disable-pip"),
            *("--progress-spinner", "off", "--format", "json", *arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    sentence, code = read_report(done.stdout, done.stderr)
    print(sentence)  # noqa: T201 - a command's output
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
