"""Failover, conditions, rates, breakers, replays, redaction."""

from __future__ import annotations

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

#: Successors in failover chains, whose turn may have come.
CHAINED = "status = 'pending' AND chained"
#: What two processes have died on, which is tried alone.
SUSPECT = "status = 'pending' AND death_count > 1"
INDEXES = [
    f"CREATE INDEX delivery_chain ON delivery (channel, due_at) WHERE {CHAINED}",
    f"CREATE INDEX delivery_suspect ON delivery (due_at) WHERE {SUSPECT}",
    "CREATE INDEX delivery_replay ON delivery (replay_id) WHERE replay_id IS NOT NULL",
    "CREATE INDEX message_redact ON message (status) WHERE redact AND redacted_at IS NULL",
    "CREATE INDEX replay_due ON replay (due_at) WHERE status = 'running'",
]


class Migration(migrations.Migration):
    """Two tables; columns with defaults of the database's own, so that older rows have them."""

    dependencies = [("almenara", "0002_discipline")]

    operations = [
        ops.AddField("Channel", "rate", fields.CharField(max_length=16, null=True)),
        ops.AddField("Channel", "burst", fields.IntField(null=True)),
        ops.AddField("Channel", "breaker_failures", fields.IntField(default=20, db_default=20)),
        ops.AddField(
            "Channel",
            "breaker_wait",
            fields.CharField(max_length=16, default="30s", db_default="30s"),
        ),
        ops.CreateModel(
            name="ChannelState",
            fields=[
                ("channel_id", fields.UUIDField(primary_key=True)),
                (
                    "state",
                    fields.CharField(max_length=16, default="active", db_default="active"),
                ),
                ("reason", fields.CharField(max_length=32, null=True)),
                ("detail", fields.TextField(null=True)),
                ("failure_count", fields.IntField(default=0, db_default=0)),
                ("changed_at", fields.DatetimeField(null=True)),
                ("probe_at", fields.DatetimeField(null=True)),
                ("probe_count", fields.IntField(default=0, db_default=0)),
                ("rate_due_at", fields.DatetimeField(null=True)),
            ],
            options={"table": "channel_state"},
        ),
        ops.AddField(
            "Topic", "step_deadline_seconds", fields.IntField(default=300, db_default=300)
        ),
        ops.AddField("Topic", "redact", fields.BooleanField(default=False, db_default=False)),
        ops.AddField("TopicChannel", "condition", fields.JSONField(null=True)),
        ops.AddField("Message", "redact", fields.BooleanField(default=False, db_default=False)),
        ops.AddField("Message", "redacted_at", fields.DatetimeField(null=True)),
        ops.AddField("Delivery", "chained", fields.BooleanField(default=False, db_default=False)),
        ops.AddField("Delivery", "replay_id", fields.UUIDField(null=True)),
        ops.CreateModel(
            name="Replay",
            fields=[
                ("id", fields.UUIDField(primary_key=True)),
                ("status", fields.CharField(max_length=16)),
                ("filters", fields.JSONField()),
                ("rate", fields.CharField(max_length=16, null=True)),
                ("total_count", fields.IntField()),
                ("resent_count", fields.IntField(default=0, db_default=0)),
                ("skipped_count", fields.IntField(default=0, db_default=0)),
                ("cursor", fields.UUIDField(null=True)),
                ("until_id", fields.UUIDField()),
                ("due_at", fields.DatetimeField()),
                ("requested_by", fields.CharField(max_length=255, null=True)),
                ("created_at", fields.DatetimeField()),
                ("finished_at", fields.DatetimeField(null=True)),
            ],
            options={"table": "replay"},
        ),
        ops.RunSQL(INDEXES),
    ]
