"""The log: messages with their keys, deliveries, attempts, replays."""

from __future__ import annotations

from uuid import UUID

from tortoise import fields
from tortoise.models import Model


class Message(Model):
    """What a sender handed over, kept as received."""

    _no_comments = True
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
    #: What it brings, as :class:`~almenara.deliveries.AttachedFile`; ``None``: nothing.
    attachments = fields.JSONField[list[dict[str, object]]](null=True)
    #: The authenticated sender; ``None`` until tokens are configured.
    sender = fields.CharField(max_length=255, null=True)
    send_at = fields.DatetimeField(null=True)
    #: Never sent after this moment.
    expires_at = fields.DatetimeField(null=True)
    #: A newer message with the same topic and key cancels this one while it waits.
    collapse_key = fields.CharField(max_length=255, null=True)
    #: Its topic's, when it was accepted: its texts are dropped when it is finished.
    redact = fields.BooleanField(default=False, db_default=False)
    redacted_at = fields.DatetimeField(null=True)
    #: The context of the trace that it belongs to, as W3C Trace Context writes it.
    traceparent = fields.CharField(max_length=55, null=True)
    created_at = fields.DatetimeField()

    class Meta:
        """Where it is stored."""

        table = "message"


class IdempotencyKey(Model):
    """A sender's key for one message; it goes with its message."""

    _no_comments = True
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

    _no_comments = True
    id = fields.UUIDField(primary_key=True, generated=False)
    message: fields.ForeignKeyRelation[Message] = fields.ForeignKeyField(
        "almenara.Message", related_name="deliveries", on_delete=fields.CASCADE
    )
    message_id: UUID
    #: The channel's name, kept when the channel is gone.
    channel = fields.CharField(max_length=64)
    position = fields.SmallIntField()
    #: Part of a failover chain, in the order of ``position``.
    chained = fields.BooleanField(default=False, db_default=False)
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
    #: The replay that made this delivery.
    replay_id = fields.UUIDField(null=True)
    created_at = fields.DatetimeField()
    finished_at = fields.DatetimeField(null=True)

    class Meta:
        """Where it is stored."""

        table = "delivery"


class Attempt(Model):
    """One try of one delivery; inserted once, with its outcome, and never changed."""

    _no_comments = True
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


class Replay(Model):
    """A wish to send many final deliveries again, and how far it has come."""

    _no_comments = True
    id = fields.UUIDField(primary_key=True, generated=False)
    #: ``running``, ``done`` or ``cancelled``.
    status = fields.CharField(max_length=16)
    #: Which deliveries: by channel, topic, status, reason and time.
    filters = fields.JSONField[dict[str, object]]()
    #: How many may be sent again in a span of time, such as ``10/s``; ``None``: any number.
    rate = fields.CharField(max_length=16, null=True)
    #: How many were found when it began.
    total_count = fields.IntField()
    #: How many new deliveries it made.
    resent_count = fields.IntField(default=0, db_default=0)
    #: How many it left out: sent again meanwhile, expired, redacted, their channel gone.
    skipped_count = fields.IntField(default=0, db_default=0)
    #: The last delivery that was looked at; it goes on behind it.
    cursor = fields.UUIDField(null=True)
    #: Deliveries that are newer than the replay are not its business.
    until_id = fields.UUIDField()
    #: When it may go on, by its rate.
    due_at = fields.DatetimeField()
    #: Who asked for it; ``None`` without a token.
    requested_by = fields.CharField(max_length=255, null=True)
    created_at = fields.DatetimeField()
    finished_at = fields.DatetimeField(null=True)

    class Meta:
        """Where it is stored."""

        table = "replay"
