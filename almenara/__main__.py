"""Starts the command line: ``almenara``, or ``python -m almenara``."""

from __future__ import annotations

import sys

from almenara.garbage import collect_seldom


def main() -> None:
    """Run one command and end the process with its exit code."""
    collect_seldom()
    from almenara.cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()
