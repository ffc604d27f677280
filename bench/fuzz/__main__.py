"""`make fuzz`: fuzz the API, the text fields and the socket, and see what is left afterwards."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bench.fuzz.run import Size, fuzz

#: The requests to each operation, and the connections of noise.
SIZES = {
    "short": Size(examples=3, noise=300, step=7, strangers=False),
    "full": Size(examples=120, noise=10_000),
}


def main() -> int:
    """Run, print a table, and return 1 when anything is wrong."""
    arguments = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    arguments.add_argument("--size", choices=sorted(SIZES), default="full")
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("--database-url", help="an empty database, instead of SQLite's file")
    arguments.add_argument("--keep", type=Path, help="where what was written stays")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="almenara-fuzz-") as temporary:
        directory = chosen.keep or Path(temporary)
        outcomes = fuzz(
            directory, SIZES[chosen.size], seed=chosen.seed, database_url=chosen.database_url
        )
    for one in outcomes:
        print(f"{one.name:32} {one.cases:>8,} cases {len(one.mistakes):>5} wrong")
        for mistake in one.mistakes[:20]:
            print(f"    {mistake}")
    print(f"{sum(one.cases for one in outcomes):,} cases; --seed {chosen.seed} repeats them.")
    return 1 if any(one.mistakes for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
