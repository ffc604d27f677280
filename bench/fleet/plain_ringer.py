"""Hands in one task for each delivery that stands in the database, as the plain way does.

`python -m bench.fleet.plain_ringer MOMENT`: the ids come on standard input, one in a line.
`python -m bench.fleet.plain_ringer URL COUNT MOMENT`: so many messages that come with their tasks.
It begins at the moment, in seconds since 1970.
"""

from __future__ import annotations

import os
import sys
import time

from bench.references.celery_plain import BROKER_VARIABLE, MESSAGE, make_app


def main() -> None:
    """Hand in all of them, each with its own task."""
    app = make_app(os.environ[BROKER_VARIABLE])
    *without_database, moment = sys.argv[1:]
    ids = sys.stdin.read().split()
    time.sleep(max(0.0, float(moment) - time.time()))
    if without_database:
        url, count = without_database
        for _ in range(int(count)):
            app.tasks["bench.send_message"].delay(url, MESSAGE)
    else:
        for one in ids:
            app.tasks["bench.send_delivery"].delay(one)


if __name__ == "__main__":
    main()
