"""FastAPI with Almenara's request and answer, and nothing behind it: no message is kept or sent."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import FastAPI, Response

from almenara.api.message_bodies import MessageIn
from almenara.deliveries import MessageStatus
from almenara.models import new_id
from bench.references.answers import AcceptedOut

app = FastAPI()


@app.post("/v1/messages", status_code=202)
async def accept_message(body: MessageIn, response: Response) -> AcceptedOut:
    """Check a message, and forget it."""
    message_id = new_id()
    response.headers["Location"] = f"/v1/messages/{message_id}"
    return AcceptedOut(
        id=message_id,
        status=MessageStatus.NO_ROUTE,
        topic=body.topic,
        reference=body.reference,
        deliveries=[],
        created_at=datetime.now(UTC),
    )
