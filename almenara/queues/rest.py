"""The rest between two looks for what is due.

A process that is alone with its database knows when the last look would find nothing new: as long
as nothing was committed since. It looks less often then, which is most of what an idle server does.
"""

from __future__ import annotations

import asyncio

from almenara.ledger import Ledger

#: A look is due at least so often, in seconds, whatever the bell says.
LONGEST = 1.0
#: And so often where nothing was committed since the last one; clocks may be set.
_LONGEST_QUIET = 5.0


class Rest:
    """The rests of one process.

    Args:
        alone: no other process writes to its database.
    """

    def __init__(self, ledger: Ledger, *, alone: bool) -> None:
        self._ledger = ledger
        self._longest = _LONGEST_QUIET if alone else LONGEST
        self._wake = asyncio.Event()
        self._seen_count = -1

    def end(self) -> None:
        """Let the process look at once, or as soon as it rests."""
        self._wake.set()

    def begin_look(self) -> None:
        """Note where things stand: what comes from now on ends the next rest."""
        self._wake.clear()
        self._seen_count = self._ledger.committed_count

    async def take(self, seconds: float) -> None:
        """Rest until something may be due.

        Args:
            seconds: nothing that the last look saw is due sooner.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + min(seconds, self._longest)
        while (left := until - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, LONGEST)):
                    await self._wake.wait()
            except TimeoutError:
                pass
            if self._wake.is_set() or self._ledger.committed_count != self._seen_count:
                return
