"""The design that most people would write: FastAPI, Tortoise with its defaults, background tasks.

A message is inserted in its request, with a delivery for each channel of its topic; each is sent
after the answer, with an HTTP client of its own, and the attempt and the new status are recorded.
What was under way when the process dies is lost; there are no retries, no limits and no rescue.
`DATABASE_URL` says where it is stored (SQLite or PostgreSQL), `HOOK_URL` where the topic `hook`
goes.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
from fastapi import BackgroundTasks, FastAPI
from pydantic import BaseModel, Field
from tortoise import fields
from tortoise.contrib.fastapi import RegisterTortoise
from tortoise.models import Model

from bench.references.environment import DATABASE_VARIABLE, HOOK_VARIABLE


class Message(Model):
    """What was handed in."""

    id = fields.UUIDField(primary_key=True, default=uuid4)
    topic = fields.CharField(max_length=64)
    title = fields.CharField(max_length=250, null=True)
    description = fields.TextField()
    data: Any = fields.JSONField(default=dict)
    created_at = fields.DatetimeField(auto_now_add=True)


class Delivery(Model):
    """A message for one channel."""

    id = fields.UUIDField(primary_key=True, default=uuid4)
    message: fields.ForeignKeyRelation[Message] = fields.ForeignKeyField("models.Message")
    channel = fields.CharField(max_length=64)
    status = fields.CharField(max_length=16, default="pending", db_index=True)


class Attempt(Model):
    """One try."""

    id = fields.UUIDField(primary_key=True, default=uuid4)
    delivery: fields.ForeignKeyRelation[Delivery] = fields.ForeignKeyField("models.Delivery")
    outcome = fields.CharField(max_length=16)
    error = fields.TextField(null=True)
    started_at = fields.DatetimeField()
    finished_at = fields.DatetimeField(auto_now_add=True)


class MessageIn(BaseModel):
    """What is handed in."""

    topic: str
    title: str | None = None
    description: str
    data: dict[str, Any] = Field(default_factory=dict)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    url, modules = os.environ[DATABASE_VARIABLE], {"models": [__name__]}
    async with RegisterTortoise(app, db_url=url, modules=modules, generate_schemas=True):
        yield


app = FastAPI(lifespan=_lifespan)


def channels_of(topic: str) -> dict[str, str]:
    """Return where a topic goes: addresses by the names of channels."""
    return {"hook": os.environ[HOOK_VARIABLE]} if topic == "hook" else {}


@app.post("/v1/messages", status_code=202)
async def accept_message(body: MessageIn, background_tasks: BackgroundTasks) -> dict[str, Any]:
    """Store a message with its deliveries, and send afterwards."""
    message = await Message.create(**body.model_dump())
    for channel, url in channels_of(body.topic).items():
        delivery = await Delivery.create(message=message, channel=channel)
        background_tasks.add_task(send, message, delivery, url)
    return {"id": message.id, "topic": message.topic, "created_at": message.created_at}


@app.get("/v1/deliveries")
async def list_deliveries(status: str, limit: int = 100) -> dict[str, Any]:
    """List the deliveries of one status."""
    return {"data": await Delivery.filter(status=status).limit(limit).values("id", "channel")}


async def send(message: Message, delivery: Delivery, url: str) -> None:
    """Send one delivery, and record it."""
    started_at = datetime.now(UTC)
    error = None
    try:
        await _post(url, message)
    except httpx.HTTPError as failure:
        error = str(failure)
    delivery.status = "failed" if error else "sent"
    await Attempt.create(
        delivery=delivery, outcome=delivery.status, error=error, started_at=started_at
    )
    await delivery.save()


async def _post(url: str, message: Message) -> None:
    content = {
        "id": str(message.id),
        "topic": message.topic,
        "title": message.title,
        "description": message.description,
        "data": message.data,
        "created_at": message.created_at.isoformat(),
    }
    async with httpx.AsyncClient() as client:
        response = await client.post(url, json=content)
    response.raise_for_status()
