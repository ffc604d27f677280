"""Which channels need not be looked at for now: paused ones, and those at the end of their rate.

What is here was learned from the last claim and holds until its time, or until the configuration
moves; it only saves looks, as each claim asks the database itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta

from almenara.routing import Routing


class Gates:
    """What one process knows of closed channels."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self._revision = -1
        #: By channel: when to ask again, by the wall clock and by the monotonic one, as wall clocks
        #: jump; ``None``: not before the configuration moves.
        self._closed: dict[str, tuple[datetime, float] | None] = {}

    def close(self, closed: Mapping[str, datetime | None], now: datetime) -> None:
        """Remember which channels a claim found closed, and until when."""
        self._forget_what_moved()
        for channel, until in closed.items():
            if until is None:
                self._closed[channel] = None
            else:
                seconds = (until - now) / timedelta(seconds=1)
                self._closed[channel] = (until, time.monotonic() + seconds)

    def is_open(self, channel: str, now: datetime) -> bool:
        """Tell whether a channel may take something, as far as is known here."""
        self._forget_what_moved()
        if channel not in self._closed:
            return True
        until = self._closed[channel]
        if until is None or (now < until[0] and time.monotonic() < until[1]):
            return False
        del self._closed[channel]
        return True

    def openings(self) -> list[datetime]:
        """Return when closed channels open, as far as that is known."""
        return [until[0] for until in self._closed.values() if until]

    def _forget_what_moved(self) -> None:
        revision = self._routing.table.revision
        if revision != self._revision:
            self._revision = revision
            self._closed.clear()
