"""The plain way to send in the background: one Celery task for each delivery.

It is what the tutorials show, written by somebody who must not lose anything: late acks, publisher
confirms, a kept connection to the database and a kept session for HTTP in each process. A task
reads its delivery with the message and the channel, posts, and records the attempt and the new
status in one transaction. It has no retries, no limits and no rescue, and it moves no message's
status.

`celery -A bench.references.celery_plain worker` reads its addresses from the environment.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import uuid4

import psycopg
import requests
from celery import Celery
from psycopg.rows import dict_row

BROKER_VARIABLE, DATABASE_VARIABLE = "BENCH_BROKER_URL", "BENCH_DATABASE_URL"

_READ = """
SELECT delivery.id, delivery.message_id, delivery.channel, message.topic, message.title,
    message.description, message.format, message.priority, message.tags, message.data,
    message.reference, message.metadata, message.created_at, channel.settings
FROM delivery
JOIN message ON message.id = delivery.message_id
JOIN channel ON channel.name = delivery.channel
WHERE delivery.id = %s AND delivery.status = 'pending'
"""
_ATTEMPT = """
INSERT INTO attempt (id, delivery_id, message_id, number, outcome, started_at, finished_at,
    duration_ms, late)
VALUES (%s, %s, %s, 1, 'sent', %s, %s, %s, FALSE)
"""
_SENT = "UPDATE delivery SET status = 'sent', attempt_number = 1, finished_at = %s WHERE id = %s"

_DEADLINE_SECONDS = 15

#: A message that comes with its task, as large as those in the database.
MESSAGE = {
    "topic": "sales",
    "title": "A question",
    "description": "I need help. " * 16,
    "format": "text",
    "priority": 3,
    "tags": ["bench"],
    "data": {"plan": "large", "seats": 12},
    "metadata": {},
}


def make_app(broker_url: str) -> Celery:
    """Make the application of the worker, and of whoever hands in work."""
    app = Celery("plain", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        broker_transport_options={"confirm_publish": True},
        broker_connection_retry_on_startup=True,
        task_default_queue="bench.plain",
    )
    app.task(name="bench.send_delivery", shared=False)(send_delivery)
    app.task(name="bench.send_message", shared=False)(send_message)
    return app


def send_delivery(delivery_id: str) -> None:
    """Send one delivery that stands in the database, and record it there."""
    connection = _connection()
    row = connection.execute(_READ, (delivery_id,)).fetchone()
    if row is None:
        return
    started_at = datetime.now(UTC)
    url = row.pop("settings")["url"]
    _post(url, {name: _as_json(value) for name, value in row.items()})
    now = datetime.now(UTC)
    took = round((now - started_at).total_seconds() * 1000)
    with connection.transaction():
        connection.execute(_ATTEMPT, (uuid4(), row["id"], row["message_id"], started_at, now, took))
        connection.execute(_SENT, (now, delivery_id))


def send_message(url: str, message: dict[str, Any]) -> None:
    """Send one message that came with the task."""
    _post(url, message)


def _post(url: str, message: dict[str, Any]) -> None:
    _session().post(url, json=message, timeout=_DEADLINE_SECONDS).raise_for_status()


@cache
def _connection() -> psycopg.Connection[dict[str, Any]]:
    return psycopg.connect(os.environ[DATABASE_VARIABLE], autocommit=True, row_factory=dict_row)


@cache
def _session() -> requests.Session:
    return requests.Session()


def _as_json(value: object) -> object:
    return value if isinstance(value, (str, int, list, dict, type(None))) else str(value)


def __getattr__(name: str) -> object:
    """Make ``app`` when `celery -A` asks for it."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = make_app(os.environ[BROKER_VARIABLE])
    return globals()["app"]
