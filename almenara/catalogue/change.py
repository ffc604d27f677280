"""A change of the configuration: one unit of work that moves the revision."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from almenara.database import Transaction
from almenara.ledger import Ledger
from almenara.routing import Routing

Answer = TypeVar("Answer")


class Changes:
    """Makes changes of topics and channels, one after another."""

    def __init__(self, *, ledger: Ledger, routing: Routing) -> None:
        self._ledger = ledger
        self._routing = routing

    async def make(self, work: Callable[[Transaction], Awaitable[Answer]]) -> Answer:
        """Do a unit of work that moves the revision; when it returns, this process obeys it."""

        async def moving(transaction: Transaction) -> Answer:
            # First of all, so that on PostgreSQL one change waits for the other.
            await transaction.execute(
                "UPDATE configuration SET revision = revision + 1 WHERE id = 1"
            )
            return await work(transaction)

        answer = await self._ledger.run(moving)
        await self._routing.refresh()
        return answer
