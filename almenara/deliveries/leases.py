"""How long a claim is its holder's: by the one clock that all processes share.

On PostgreSQL that is the database's own: hosts whose clocks differ by minutes neither rescue what
is in living hands nor leave what a dead process held. On SQLite the one process's clock is it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from almenara.database import Transaction

#: A claim as it stands in its row: the delivery, and the token that is its fence.
Held = tuple[UUID, UUID]

#: What is being settled, rescued or cancelled at this moment is passed over, so that renewing never
#: waits and never stands in the way.
_RENEW = """
WITH mine AS MATERIALIZED (
    SELECT delivery.id FROM delivery
    JOIN UNNEST($1::uuid[], $2::uuid[]) AS v(id, token)
        ON delivery.id = v.id AND delivery.token = v.token
    WHERE (delivery.status = 'sending') IS TRUE
    FOR NO KEY UPDATE OF delivery SKIP LOCKED
)
UPDATE delivery SET lease_until = clock_timestamp() + $3::interval
FROM mine WHERE delivery.id = mine.id
RETURNING delivery.id, delivery.token
"""


class Connection(Protocol):
    """What renewing needs of a connection to PostgreSQL."""

    async def fetch(self, query: str, *args: object) -> Sequence[Any]:
        """Run one statement and return its rows."""
        ...


async def renew(connection: Connection, held: Sequence[Held], lease: timedelta) -> set[Held]:
    """Let the leases of claims begin anew, and return those that are renewed.

    A claim that is no longer held stays as it is; so does one whose row another transaction has.
    """
    ids, tokens = [one[0] for one in held], [one[1] for one in held]
    rows = await connection.fetch(_RENEW, ids, tokens, lease)
    return {(row["id"], row["token"]) for row in rows}


def lease_end(transaction: Transaction, begun: str, end: str) -> str:
    """Write in SQL when a lease ends that begins now.

    Args:
        begun: a column or parameter with the beginning, by the clock of this process.
        end: the same with the end.
    """
    if transaction.dialect == "sqlite":
        return end
    return f"clock_timestamp() + ({end}::timestamptz - {begun}::timestamptz)"


def present(transaction: Transaction, now: str) -> str:
    """Write in SQL which moment leases are compared with; it may use an index.

    Args:
        now: a column or parameter with the present, by the clock of this process.
    """
    return now if transaction.dialect == "sqlite" else "now()"
