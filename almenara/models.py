"""The stored nouns: topics and channels, and the log of messages, deliveries and attempts.

The ledger writes the log by statements of its own; these models read it, and say what the migrated
schema must be. Times are UTC. Ids are UUIDv7 made by the application, so their order is the order
of time.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from tortoise import fields
from tortoise.models import Model
from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a new UUIDv7: later ids of one process are greater."""
    return uuid7()


def lowest_id(moment: datetime) -> UUID:
    """Return the least UUIDv7 of a moment, so that times can be looked up by their ids."""
    milliseconds = max(0, int(moment.timestamp() * 1000)) & 0xFFFF_FFFF_FFFF
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0x8 << 60)


class Configuration(Model):
    """One row: the revision that moves with each change of topics and channels."""

    id = fields.SmallIntField(primary_key=True, generated=False)
    revision = fields.BigIntField()

    class Meta:
        """Where it is stored."""

        table = "configuration"


class Channel(Model):
    """One configured way out."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    name = fields.CharField(max_length=64, unique=True)
    #: The plugin class: ``Email``, or ``email.Email``.
    plugin = fields.CharField(max_length=200)
    #: The plugin's settings; secret values are sealed (see ``secrets.py``).
    settings = fields.JSONField[dict[str, object]](default=dict)
    enabled = fields.BooleanField(default=True)
    #: Deadline of one attempt.
    timeout_seconds = fields.FloatField(default=15.0)
    #: Durations between attempts, such as ``["10s", "1m"]``.
    retry_schedule = fields.JSONField[list[str]]()
    #: Attempts at once in one process.
    concurrency = fields.SmallIntField(default=16)
    #: After an attempt of unknown outcome: ``retry`` or ``hold``.
    on_unknown = fields.CharField(max_length=8, default="retry")
    #: Moves with each change of this channel.
    revision = fields.BigIntField(default=1)
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta:
        """Where it is stored."""

        table = "channel"


class Topic(Model):
    """The name a sender uses."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    name = fields.CharField(max_length=64, unique=True)
    strategy = fields.CharField(max_length=16, default="all")
    enabled = fields.BooleanField(default=True)
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta:
        """Where it is stored."""

        table = "topic"


class TopicChannel(Model):
    """One channel of a topic, at its place in the order."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    topic: fields.ForeignKeyRelation[Topic] = fields.ForeignKeyField(
        "almenara.Topic", related_name="links", on_delete=fields.CASCADE
    )
    topic_id: UUID
    channel: fields.ForeignKeyRelation[Channel] = fields.ForeignKeyField(
        "almenara.Channel", related_name="links", on_delete=fields.RESTRICT
    )
    channel_id: UUID
    position = fields.SmallIntField()

    class Meta:
        """Where it is stored."""

        table = "topic_channel"
        unique_together = (("topic", "channel"),)


class Message(Model):
    """What a sender handed over, kept as received."""

    id = fields.UUIDField(primary_key=True, generated=False)
    #: ``None`` when the message was addressed to a channel directly.
    topic = fields.CharField(max_length=64, null=True)
    status = fields.CharField(max_length=16)
    title = fields.TextField(null=True)
    description = fields.TextField()
    format = fields.CharField(max_length=16)
    priority = fields.SmallIntField()
    tags = fields.JSONField[list[str]]()
    data = fields.JSONField[dict[str, object]]()
    recipients = fields.JSONField[list[str]]()
    reference = fields.CharField(max_length=255, null=True)
    metadata = fields.JSONField[dict[str, object]]()
    #: The authenticated sender; ``None`` until tokens are configured.
    sender = fields.CharField(max_length=255, null=True)
    send_at = fields.DatetimeField(null=True)
    #: Never sent after this moment.
    expires_at = fields.DatetimeField(null=True)
    #: A newer message with the same topic and key cancels this one while it waits.
    collapse_key = fields.CharField(max_length=255, null=True)
    created_at = fields.DatetimeField()

    class Meta:
        """Where it is stored."""

        table = "message"


class IdempotencyKey(Model):
    """A sender's key for one message; it goes with its message."""

    message_id = fields.UUIDField(primary_key=True, generated=False)
    #: Empty for a sender without a token.
    sender = fields.CharField(max_length=255)
    key = fields.CharField(max_length=255)
    fingerprint = fields.CharField(max_length=64)
    created_at = fields.DatetimeField()

    class Meta:
        """Where it is stored."""

        table = "idempotency_key"
        unique_together = (("sender", "key"),)


class Delivery(Model):
    """One message for one channel."""

    id = fields.UUIDField(primary_key=True, generated=False)
    message: fields.ForeignKeyRelation[Message] = fields.ForeignKeyField(
        "almenara.Message", related_name="deliveries", on_delete=fields.CASCADE
    )
    message_id: UUID
    #: The channel's name, kept when the channel is gone.
    channel = fields.CharField(max_length=64)
    position = fields.SmallIntField()
    status = fields.CharField(max_length=16)
    reason = fields.CharField(max_length=32, null=True)
    priority = fields.SmallIntField()
    due_at = fields.DatetimeField()
    #: Its message's, kept here for the scan.
    expires_at = fields.DatetimeField(null=True)
    #: How many attempts were begun.
    attempt_number = fields.IntField()
    #: How many steps of the retry schedule are used up.
    retry_step = fields.SmallIntField()
    #: How many attempts in a row ended with the death of their process.
    death_count = fields.SmallIntField()
    #: Set while an attempt runs: the fence against late results.
    token = fields.UUIDField(null=True)
    started_at = fields.DatetimeField(null=True)
    lease_until = fields.DatetimeField(null=True)
    #: Why the delivery is to be cancelled if the attempt under way does not finish it.
    cancel_reason = fields.CharField(max_length=32, null=True)
    #: The service's own id for the message.
    reference = fields.CharField(max_length=255, null=True)
    #: The delivery that this one sends again.
    resend_of = fields.UUIDField(null=True)
    created_at = fields.DatetimeField()
    finished_at = fields.DatetimeField(null=True)

    class Meta:
        """Where it is stored."""

        table = "delivery"


class Attempt(Model):
    """One try of one delivery; inserted once, with its outcome, and never changed."""

    id = fields.UUIDField(primary_key=True, generated=False)
    delivery: fields.ForeignKeyRelation[Delivery] = fields.ForeignKeyField(
        "almenara.Delivery", related_name="attempts", on_delete=fields.CASCADE
    )
    delivery_id: UUID
    message_id = fields.UUIDField()
    number = fields.IntField()
    outcome = fields.CharField(max_length=16)
    error = fields.TextField(null=True)
    reference = fields.CharField(max_length=255, null=True)
    detail = fields.TextField(null=True)
    started_at = fields.DatetimeField()
    finished_at = fields.DatetimeField()
    duration_ms = fields.IntField()
    #: Came after its delivery had moved on; moved nothing.
    late = fields.BooleanField()

    class Meta:
        """Where it is stored."""

        table = "attempt"
