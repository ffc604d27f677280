"""Deliveries on which processes died: each is tried with nothing else in flight.

Two deaths may be the fault of another delivery that was in flight beside it. The third is its own,
as it is alone then: so none is held as poison for what another one did.
"""

from __future__ import annotations

import time
from datetime import datetime
from uuid import UUID

from almenara.database import Database
from almenara.deliveries import DEATHS_IN_COMPANY, HAS_ITS_TURN

#: After a claim that found nothing to try alone, all go on together for so long, in seconds.
_PAUSE = 5.0

_SUSPECTS = f"""
SELECT DISTINCT channel FROM delivery
WHERE status = 'pending' AND death_count > {DEATHS_IN_COMPANY - 1} AND due_at <= $1
    AND {HAS_ITS_TURN}
"""


class Suspects:
    """What is to be tried alone, and whether nothing else may begin for its sake."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._suspect: UUID | None = None
        self._not_before = 0.0
        #: Nothing else may begin: one is being tried, or waits for the others to end.
        self.hold = False

    async def due(self, now: datetime) -> set[str]:
        """Return the channels of what is due and may have been the death of processes."""
        if time.monotonic() < self._not_before:
            return set()
        return {row["channel"] for row in await self._database.fetch(_SUSPECTS, now)}

    def began(self, suspect: UUID | None) -> None:
        """Remember the one that is being tried; ``None``: there was nothing to claim after all."""
        self._suspect = suspect
        if suspect is None:
            self.hold = False
            self._not_before = time.monotonic() + _PAUSE

    def ended(self, delivery_id: UUID) -> None:
        """Note that an attempt has ended."""
        if delivery_id == self._suspect:
            self._suspect = None

    @property
    def trying(self) -> bool:
        """Whether one is being tried."""
        return self._suspect is not None
