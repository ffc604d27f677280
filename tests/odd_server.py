"""`almenara serve` with what a test makes odd: its lease, its clock, how often it looks at plugins.

Run as ``python -m tests.odd_server serve ...``; production has no such switches.
"""

from __future__ import annotations

import functools
import os
import sys
from datetime import timedelta

from almenara import app
from almenara.cli import run


def main() -> int:
    """Serve with what the environment names."""
    lease = timedelta(seconds=float(os.environ["ALMENARA_TEST_LEASE_SECONDS"]))
    ahead = timedelta(seconds=float(os.environ["ALMENARA_TEST_CLOCK_AHEAD_SECONDS"]))
    app.running = functools.partial(  # type: ignore[assignment]  # the same with arguments given
        app.running,
        lease=lease,
        clock=lambda: app.utc_now() + ahead,
        look_seconds=float(os.environ["ALMENARA_TEST_LOOK_SECONDS"]),
    )
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
