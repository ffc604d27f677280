"""Rings for deliveries that stand in the database, as `almenara serve` does after a commit.

`python -m bench.fleet.ringer CHANNEL MOMENT`: the ids come on standard input, one in a line; it
begins at the moment, in seconds since 1970. The settings are the environment's.
"""

from __future__ import annotations

import sys
import time
from uuid import UUID

from almenara.queues.celery import CeleryBell
from almenara.queues.relay import LARGEST_RING
from almenara.settings import read_settings


def main() -> None:
    """Ring for all of them, in batches of the size that the server uses."""
    _, channel, moment = sys.argv
    ids = [UUID(line) for line in sys.stdin.read().split()]
    bell = CeleryBell(read_settings())
    time.sleep(max(0.0, float(moment) - time.time()))
    for start in range(0, len(ids), LARGEST_RING):
        bell.ring({channel: ids[start : start + LARGEST_RING]}, urgent=False)
    bell.close()


if __name__ == "__main__":
    main()
