"""What shares a batch of the ledger, over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from almenara.database import Transaction
from almenara.ledger import Ledger
from almenara.settings import Settings
from tests.stored import opened_database

_SENDERS, _MESSAGES = 20, 10
#: Until an answer is out, and the next request of the same connection is read and planned.
_TURNS_OF_A_REQUEST = 4


class Batches:
    """Writes nothing, and keeps how many came at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def __call__(self, _transaction: Transaction, payloads: Sequence[int]) -> Sequence[int]:
        self.sizes.append(len(payloads))
        return payloads


async def test_whoever_was_woken_shares_the_next_batch_with_who_had_missed_the_last(
    settings: Settings,
) -> None:
    batches = Batches()

    async def send(number: int) -> None:
        for _ in range(_MESSAGES):
            assert await ledger.write(batches, number) == number
            for _ in range(_TURNS_OF_A_REQUEST):
                await asyncio.sleep(0)

    async with opened_database(settings) as database:
        ledger = Ledger(database)
        ledger.start()
        early = asyncio.create_task(send(0))
        while not batches.sizes:
            await asyncio.sleep(0)
        await asyncio.gather(early, *(send(1 + number) for number in range(_SENDERS - 1)))
        await ledger.close()
    assert sum(batches.sizes) == _SENDERS * _MESSAGES
    # One for each message of a sender, and at the most one more for what was early.
    assert len(batches.sizes) <= _MESSAGES + 1, batches.sizes


async def test_one_sender_alone_waits_for_nobody(settings: Settings) -> None:
    batches = Batches()
    async with opened_database(settings) as database:
        ledger = Ledger(database)
        ledger.start()
        for number in range(3):
            assert await ledger.write(batches, number) == number
        await ledger.close()
    assert batches.sizes == [1, 1, 1]
