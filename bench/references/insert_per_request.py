"""The same endpoint as it is usually written: FastAPI, and a Tortoise insert in each request.

It has Almenara's request and answer models, its tables and its durability (SQLite with a
write-ahead log and `synchronous=FULL`). It has no group commit. It does less than Almenara: it
checks neither the JSON's strictness nor whether the configuration moved, and nothing takes up what
a crash left behind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import BackgroundTasks, FastAPI, Response

from almenara.api.message_bodies import MessageIn
from almenara.database import Database, open_database
from almenara.deliveries import MessageStatus, Outcome, Status
from almenara.migrations import migrate
from almenara.models import Attempt, Delivery, Message, new_id
from almenara.settings import read_settings
from bench.references.answers import AcceptedDelivery, AcceptedOut

#: The topics of the bench, each with its channels.
TOPICS: dict[str, list[str]] = {"nowhere": [], "noop": ["noop"]}


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    database = await open_database(read_settings())
    await migrate(database)
    app.state.database = database
    yield
    await database.close()


app = FastAPI(lifespan=_lifespan)


@app.post("/v1/messages", status_code=202)
async def accept_message(
    body: MessageIn, response: Response, background_tasks: BackgroundTasks
) -> AcceptedOut:
    """Store a message, with its deliveries in the same transaction, and send afterwards."""
    now = datetime.now(UTC)
    channels = TOPICS[(body.topic or "").lower()]
    message = _message(body, now, channels)
    deliveries = [_delivery(message, channel, now) for channel in channels]
    database: Database = app.state.database
    if deliveries:
        async with database.transaction() as transaction:
            for row in (message, *deliveries):
                await row.save(using_db=transaction.client, force_create=True)
        background_tasks.add_task(_send, database, message, deliveries)
    else:
        # A statement alone is its own transaction, and cheaper than one in BEGIN and COMMIT.
        await message.save(using_db=database.writer, force_create=True)
    response.headers["Location"] = f"/v1/messages/{message.id}"
    return AcceptedOut(
        id=message.id,
        status=MessageStatus(message.status),
        topic=message.topic,
        reference=message.reference,
        deliveries=[
            AcceptedDelivery(id=one.id, channel=one.channel, status=one.status)
            for one in deliveries
        ],
        created_at=now,
    )


async def _send(database: Database, message: Message, deliveries: list[Delivery]) -> None:
    """Send nowhere, and record it."""
    now = datetime.now(UTC)
    async with database.transaction() as transaction:
        client = transaction.client
        for delivery in deliveries:
            attempt = _attempt(delivery, now)
            await attempt.save(using_db=client, force_create=True)
            delivery.status, delivery.finished_at = Status.SENT, now
            await delivery.save(using_db=client, update_fields=["status", "finished_at"])
        message.status = MessageStatus.SENT
        await message.save(using_db=client, update_fields=["status"])


def _message(body: MessageIn, now: datetime, channels: list[str]) -> Message:
    fields = body.model_dump(exclude={"to", "channel"})
    status = MessageStatus.SENDING if channels else MessageStatus.NO_ROUTE
    return Message(
        **fields, id=new_id(), status=status, recipients=body.to, sender=None, created_at=now
    )


def _delivery(message: Message, channel: str, now: datetime) -> Delivery:
    return Delivery(
        id=new_id(),
        message_id=message.id,
        channel=channel,
        position=0,
        status=Status.SENDING,
        priority=message.priority,
        due_at=now,
        attempt_number=1,
        retry_step=0,
        death_count=0,
        started_at=now,
        created_at=now,
    )


def _attempt(delivery: Delivery, now: datetime) -> Attempt:
    return Attempt(
        id=new_id(),
        delivery_id=delivery.id,
        message_id=delivery.message_id,
        number=1,
        outcome=Outcome.SENT,
        started_at=delivery.created_at,
        finished_at=now,
        duration_ms=0,
        late=False,
    )
