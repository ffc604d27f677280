"""Rows for tests: a migrated database, plans to store in it, and what stands there afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from almenara.database import Database, Row, Transaction, open_database
from almenara.deliveries import Claim, NewMessage, Outcome, Plan, Reason, Result, Status
from almenara.ledger import Acceptance, Accepted, Ledger, accept_messages, insert_messages
from almenara.models import new_id
from almenara.plan import plan_message
from almenara.routing import ChannelRoute
from almenara.settings import Settings
from tests.tables import make_tables

#: The moment at which tests begin.
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)

Answer = TypeVar("Answer")

SECOND = timedelta(seconds=1)

_OUTCOMES = {
    Status.SENT: Outcome.SENT,
    Status.FAILED: Outcome.PERMANENT_ERROR,
    Status.PENDING: Outcome.TEMPORARY_ERROR,
    Status.HELD: Outcome.TIMEOUT,
}
_REASONS = {Status.FAILED: Reason.PERMANENT, Status.HELD: Reason.UNKNOWN_OUTCOME}


@asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator[Database]:
    """Open the database of the settings, with the schema."""
    await make_tables(settings)
    database = await open_database(settings)
    try:
        yield database
    finally:
        await database.close()


async def in_transaction(
    database: Database, work: Callable[[Transaction], Awaitable[Answer]]
) -> Answer:
    """Do a piece of work in a transaction of its own."""
    async with database.transaction() as transaction:
        return await work(transaction)


def a_channel(name: str = "team", **fields: Any) -> ChannelRoute:
    """Return a channel as routing knows it."""
    values: dict[str, Any] = {
        "id": str(new_id()),
        "name": name,
        "plugin": "Log",
        "settings": {},
        "enabled": True,
        "timeout_seconds": 15.0,
        "retry_schedule": (SECOND,),
        "concurrency": 16,
        "on_unknown": "retry",
        "revision": 1,
    }
    return ChannelRoute(**(values | fields))


def a_plan(
    *channels: str, now: datetime = NOW, claimed: bool = False, revision: int = 1, **fields: Any
) -> Plan:
    """Plan a message for channels; ``claimed``: every delivery is born claimed."""
    message = NewMessage(
        id=fields.pop("id", None) or new_id(),
        topic="sales",
        description=fields.pop("description", "A word."),
        created_at=now,
        **fields,
    )
    return plan_message(
        message,
        [a_channel(name) for name in channels or ("team",)],
        revision=revision,
        now=now,
        new_id=new_id,
        take_slot=lambda _: claimed,
    )


async def store(database: Database, *plans: Plan) -> None:
    """Write plans as they are."""
    async with database.transaction() as transaction:
        await insert_messages(transaction, plans)


async def stored(database: Database, *channels: str, **fields: Any) -> Plan:
    """Plan a message and write it."""
    plan = a_plan(*channels, **fields)
    await store(database, plan)
    return plan


async def add_channel(database: Database, name: str, on_unknown: str = "retry") -> UUID:
    """Write a channel's row."""
    channel_id = new_id()
    async with database.transaction() as transaction:
        await transaction.execute(
            "INSERT INTO channel (id, name, plugin, settings, enabled, timeout_seconds,"
            " retry_schedule, concurrency, on_unknown, revision, created_at, updated_at)"
            f" VALUES ($1, $2, 'Log', '{{}}', {_true(transaction)}, 15, '[\"10s\", \"1m\"]', 16,"
            " $3, 1, $4, $4)",
            *(channel_id, name, on_unknown, NOW),
        )
    return channel_id


async def add_topic(database: Database, name: str, *channel_ids: UUID) -> UUID:
    """Write a topic's row, and its channels' in order."""
    topic_id = new_id()
    async with database.transaction() as transaction:
        await transaction.execute(
            "INSERT INTO topic (id, name, strategy, enabled, created_at, updated_at)"
            f" VALUES ($1, $2, 'all', {_true(transaction)}, $3, $3)",
            *(topic_id, name, NOW),
        )
        await transaction.insert(
            "topic_channel",
            {"id": "uuid", "topic_id": "uuid", "channel_id": "uuid", "position": "integer"},
            [
                (new_id(), topic_id, channel_id, position)
                for position, channel_id in enumerate(channel_ids)
            ],
        )
    return topic_id


def a_result(claim: Claim, status: Status, *, at: datetime = NOW, **fields: Any) -> Result:
    """Return a result of an attempt that leads to a status."""
    values: dict[str, Any] = {
        "claim": claim,
        "outcome": _OUTCOMES[status],
        "finished_at": at + SECOND,
        "status": status,
        "reason": _REASONS.get(status),
        "due_at": at + 10 * SECOND if status is Status.PENDING else None,
        "retry_step": claim.retry_step,
    }
    return Result(**(values | fields))


def claims_of(plan: Plan) -> list[Claim]:
    """Return the claims with which a plan's deliveries are born."""
    return [delivery.claim for delivery in plan.deliveries if delivery.claim is not None]


async def deliveries_of(source: Database | Transaction, plan: Plan) -> list[Row]:
    """Read a message's deliveries, the oldest first."""
    return await source.fetch(
        "SELECT * FROM delivery WHERE message_id = $1 ORDER BY id", plan.message.id
    )


async def statuses_of(source: Database | Transaction, plan: Plan) -> list[tuple[str, str | None]]:
    """Read the status and the reason of a message's deliveries, the oldest first."""
    return [(row["status"], row["reason"]) for row in await deliveries_of(source, plan)]


async def end_leases(database: Database) -> None:
    """Let every lease be over; on SQLite the test's own clock says so, by running on."""
    if database.dialect == "postgres":
        async with database.transaction() as transaction:
            await transaction.execute(
                "UPDATE delivery SET lease_until = now() - interval '1 second'"
                " WHERE status = 'sending'"
            )


async def message_status(source: Database | Transaction, plan: Plan) -> str:
    """Read a message's status."""
    [row] = await source.fetch("SELECT status FROM message WHERE id = $1", plan.message.id)
    return str(row["status"])


async def attempts_of(source: Database | Transaction, plan: Plan) -> list[Row]:
    """Read a message's attempts, the oldest first."""
    return await source.fetch(
        "SELECT * FROM attempt WHERE message_id = $1 ORDER BY id", plan.message.id
    )


async def count(database: Database, table: str) -> int:
    """Count the rows of a table."""
    [row] = await database.fetch(f"SELECT COUNT(*) AS number FROM {table}")
    return int(row["number"])


def ids(rows: Sequence[Row]) -> list[str]:
    """Return the ids of rows as text, alike on both databases."""
    return [str(row["id"]) for row in rows]


def _true(transaction: Transaction) -> str:
    return "TRUE" if transaction.dialect == "postgres" else "1"


async def is_stored(ledger: Ledger, plan: Plan) -> bool:
    """Write a plan through a ledger, and tell whether its message was stored."""
    accepted = await ledger.write(accept_messages, plan)
    return accepted == Accepted(Acceptance.STORED, plan.message.id)
