"""What people write: topics and channels; and how each channel fares."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.models import Model

from almenara.models.ids import new_id


class Configuration(Model):
    """One row: the revision that moves with each change of topics and channels."""

    _no_comments = True
    id = fields.SmallIntField(primary_key=True, generated=False)
    revision = fields.BigIntField()

    class Meta:
        """Where it is stored."""

        table = "configuration"


class Channel(Model):
    """One configured way out."""

    _no_comments = True
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
    #: How many attempts may begin in a span of time, such as ``10/s``; ``None``: any number.
    rate = fields.CharField(max_length=16, null=True)
    #: How many of them may begin at once; ``None``: one.
    burst = fields.IntField(null=True)
    #: So many failures in a row pause the channel; 0: never.
    breaker_failures = fields.IntField(default=20, db_default=20)
    #: How long a paused channel waits for its first probe, such as ``30s``.
    breaker_wait = fields.CharField(max_length=16, default="30s", db_default="30s")
    #: How it words messages, see ``templates``; ``None``: as its topic does.
    template = fields.JSONField[dict[str, Any]](null=True)
    #: How often it is drilled, such as ``1h``; ``None``: only when somebody asks for it.
    verify_every = fields.CharField(max_length=16, null=True)
    #: Moves with each change of this channel.
    revision = fields.BigIntField(default=1)
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta:
        """Where it is stored."""

        table = "channel"


class ChannelState(Model):
    """How a channel fares: kept apart from what people write, as every attempt may move it.

    A channel without a row is active, and has not failed.
    """

    _no_comments = True
    channel_id = fields.UUIDField(primary_key=True, generated=False)
    #: ``active`` or ``paused``.
    state = fields.CharField(max_length=16, default="active", db_default="active")
    #: Why it is paused: ``operator``, ``failures``, ``misconfigured``.
    reason = fields.CharField(max_length=32, null=True)
    #: The same in a sentence, secrets masked.
    detail = fields.TextField(null=True)
    #: How many attempts in a row have failed.
    failure_count = fields.IntField(default=0, db_default=0)
    #: When it was paused or resumed.
    changed_at = fields.DatetimeField(null=True)
    #: When one delivery may try whether a paused channel works again; ``None``: not by itself.
    probe_at = fields.DatetimeField(null=True)
    #: How many probes have failed since it was paused.
    probe_count = fields.IntField(default=0, db_default=0)
    #: The rate's theoretical arrival time (GCRA): when the next attempt would be on time.
    rate_due_at = fields.DatetimeField(null=True)
    #: When its next drill is due; while one is made, when it is given up for lost.
    verify_due_at = fields.DatetimeField(null=True)
    #: How many drills have ended.
    verify_count = fields.IntField(default=0, db_default=0)
    #: When the last one ended.
    verified_at = fields.DatetimeField(null=True)
    #: What it came to: ``ok``, ``failed``, ``unsupported``.
    verify_outcome = fields.CharField(max_length=16, null=True)
    #: The same in a sentence, secrets masked.
    verify_detail = fields.TextField(null=True)
    #: How long it took.
    verify_duration_ms = fields.IntField(null=True)

    class Meta:
        """Where it is stored."""

        table = "channel_state"


class Topic(Model):
    """The name a sender uses."""

    _no_comments = True
    id = fields.UUIDField(primary_key=True, default=new_id)
    name = fields.CharField(max_length=64, unique=True)
    #: ``all``: to every channel; ``failover``: to the first that sends.
    strategy = fields.CharField(max_length=16, default="all")
    #: In a failover chain: how long each channel has before the next one has its turn.
    step_deadline_seconds = fields.IntField(default=300, db_default=300)
    #: Whether the texts of its messages are dropped when they are finished.
    redact = fields.BooleanField(default=False, db_default=False)
    enabled = fields.BooleanField(default=True)
    #: How its messages are worded, see ``templates``; ``None``: as they came.
    template = fields.JSONField[dict[str, Any]](null=True)
    #: What bodies of foreign webhooks mean, see ``templates``; ``None``: it takes messages.
    accept = fields.JSONField[dict[str, Any]](null=True)
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta:
        """Where it is stored."""

        table = "topic"


class TopicChannel(Model):
    """One channel of a topic, at its place in the order."""

    _no_comments = True
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
    #: Which messages it takes, see ``conditions.py``; ``None``: all.
    condition = fields.JSONField[dict[str, object]](null=True)

    class Meta:
        """Where it is stored."""

        table = "topic_channel"
        unique_together = (("topic", "channel"),)
