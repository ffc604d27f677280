"""The move before an attempt: claimed by a process, which alone may send it from then on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from almenara.database import Transaction, read_id, read_timestamp
from almenara.deliveries.chains import HAS_ITS_TURN, supersede
from almenara.deliveries.leases import lease_end
from almenara.deliveries.messages import mark_sending
from almenara.deliveries.states import DEATHS_IN_COMPANY, LEASE, Claim, by_id
from almenara.models import new_id

#: For a WHERE on ``delivery``: if it is pending, it may be claimed beside others at ``$2``.
_FIT = f"""
    due_at <= $2 AND death_count < {DEATHS_IN_COMPANY}
    AND (expires_at IS NULL OR expires_at > $2) AND {HAS_ITS_TURN}
"""
_STILL_PENDING = by_id("status = 'pending'")
_CLAIMABLE = f"status = 'pending' AND {_FIT}"

#: What is due of one channel, by urgency: one look into the partial index.
_MOST_URGENT = f"""
    SELECT id FROM delivery WHERE channel = $4 AND {_CLAIMABLE} ORDER BY priority, due_at LIMIT $5
"""

#: The same by age alone: the oldest of each priority, each found in the index, and of these the
#: oldest.
_OLDEST = (
    f"SELECT id FROM delivery WHERE {_STILL_PENDING} AND id IN (SELECT id FROM ("
    + " UNION ALL ".join(
        f"""
        SELECT * FROM (
            SELECT id, due_at FROM delivery
            WHERE priority = {priority} AND channel = $4 AND {_CLAIMABLE}
            ORDER BY due_at LIMIT $5) AS of_priority_{priority}
        """
        for priority in range(1, 6)
    )
    + ") AS heads ORDER BY due_at, id LIMIT $5)"
)

#: What processes have died on, the oldest of one channel.
_SUSPECT = f"""
    SELECT id FROM delivery
    WHERE status = 'pending' AND channel = $4 AND due_at <= $2
        AND death_count >= {DEATHS_IN_COMPANY} AND {HAS_ITS_TURN}
    ORDER BY due_at LIMIT $5
"""


async def claim_due(
    transaction: Transaction,
    limits: Sequence[tuple[str, int]],
    *,
    now: datetime,
    oldest_first: bool = False,
    suspects: bool = False,
    rung: Mapping[str, Sequence[UUID]] | None = None,
    lease: timedelta = LEASE,
) -> list[Claim]:
    """Claim what is due, up to each channel's limit, the most urgent and oldest first.

    What another process is claiming at the same moment is passed over. The claim is committed
    before anything is sent, so a full disk stops sends instead of repeating them. In a failover
    chain, what waits before a delivery whose deadline has come is cancelled first.

    Args:
        oldest_first: by age alone, so that what is not urgent has its turn too.
        suspects: what processes have died on, and nothing else; whoever claims it tries it alone.
        rung: by channel, the deliveries that a bell named: of these, in their order and by one
            statement, and of nothing else.
    """
    claiming = _Claiming(transaction, now, lease)
    await supersede(transaction, limits, now=now)
    if rung is not None:
        named = [(one, name) for name, limit in limits for one in rung.get(name, ())[:limit]]
        source, values = transaction.rows({"id": "uuid", "channel": "text"}, named, first=4)
        picked = f"""
            SELECT delivery.id FROM {source}
            JOIN delivery ON delivery.id = v.id AND delivery.channel = v.channel
            WHERE {_STILL_PENDING} AND {_FIT}
        """
        claims = await claiming.claim(picked, *values) if named else []
    else:
        picked = _SUSPECT if suspects else _OLDEST if oldest_first else _MOST_URGENT
        claims = [one for limit in limits for one in await claiming.claim(picked, *limit)]
    if claims:
        await mark_sending(transaction, (claim.message_id for claim in claims))
    return claims


class _Claiming:
    """The claims of one transaction: one token, one moment."""

    def __init__(self, transaction: Transaction, now: datetime, lease: timedelta) -> None:
        self._transaction = transaction
        self._now = now
        self._lease = lease
        self._token = new_id()

    async def claim(self, picked: str, *values: object) -> list[Claim]:
        """Claim what a query picks; its own parameters begin with ``$4``."""
        skip = (
            "FOR UPDATE OF delivery SKIP LOCKED" if self._transaction.dialect == "postgres" else ""
        )
        claimed_at = time.monotonic()
        rows = await self._transaction.fetch(
            f"""
            WITH due AS MATERIALIZED ({picked} {skip})
            UPDATE delivery SET status = 'sending', attempt_number = attempt_number + 1,
                token = $1, started_at = $2,
                lease_until = {lease_end(self._transaction, "$2", "$3")}
            FROM due WHERE delivery.id = due.id
            RETURNING delivery.id, delivery.message_id, delivery.channel, delivery.attempt_number,
                delivery.retry_step, delivery.lease_until
            """,
            *(self._token, self._now, self._now + self._lease, *values),
        )
        return [
            Claim(
                delivery_id=read_id(row["id"]),
                message_id=read_id(row["message_id"]),
                channel=row["channel"],
                attempt_number=row["attempt_number"],
                retry_step=row["retry_step"],
                token=self._token,
                started_at=self._now,
                lease_until=read_timestamp(row["lease_until"]),
                claimed_at=claimed_at,
            )
            for row in rows
        ]
