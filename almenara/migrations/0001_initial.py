"""The first schema: topics, channels, and the log."""

from __future__ import annotations

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops

from almenara.models import new_id

INDEXES = [
    "CREATE INDEX topic_channel_channel ON topic_channel (channel_id)",
    # What is due, per channel: the scan that is also the recovery from a crash.
    "CREATE INDEX delivery_due ON delivery (channel, priority, due_at) WHERE status = 'pending'",
    "CREATE INDEX delivery_lease ON delivery (lease_until) WHERE status = 'sending'",
    "CREATE INDEX delivery_message ON delivery (message_id)",
    "CREATE INDEX delivery_channel ON delivery (channel, id)",
    "CREATE INDEX delivery_status ON delivery (status, id)",
    "CREATE INDEX delivery_resend ON delivery (resend_of) WHERE resend_of IS NOT NULL",
    "CREATE INDEX attempt_delivery ON attempt (delivery_id)",
    "CREATE INDEX attempt_message ON attempt (message_id)",
    "CREATE INDEX message_topic ON message (topic, id)",
    "CREATE INDEX message_status ON message (status, id)",
    "CREATE INDEX message_reference ON message (reference, id) WHERE reference IS NOT NULL",
]


class Migration(migrations.Migration):
    """Every table of the first version, empty but for the configuration's one row."""

    initial = True

    operations = [
        ops.CreateModel(
            name="Channel",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id)),
                ("name", fields.CharField(unique=True, max_length=64)),
                ("plugin", fields.CharField(max_length=200)),
                ("settings", fields.JSONField(default=dict)),
                ("enabled", fields.BooleanField(default=True)),
                ("timeout_seconds", fields.FloatField(default=15.0)),
                ("retry_schedule", fields.JSONField()),
                ("concurrency", fields.SmallIntField(default=16)),
                ("on_unknown", fields.CharField(default="retry", max_length=8)),
                ("revision", fields.BigIntField(default=1)),
                ("created_at", fields.DatetimeField()),
                ("updated_at", fields.DatetimeField()),
            ],
            options={"table": "channel"},
        ),
        ops.CreateModel(
            name="Configuration",
            fields=[
                ("id", fields.SmallIntField(primary_key=True, generated=False)),
                ("revision", fields.BigIntField()),
            ],
            options={"table": "configuration"},
        ),
        ops.CreateModel(
            name="Message",
            fields=[
                ("id", fields.UUIDField(primary_key=True)),
                ("topic", fields.CharField(null=True, max_length=64)),
                ("status", fields.CharField(max_length=16)),
                ("title", fields.TextField(null=True)),
                ("description", fields.TextField()),
                ("format", fields.CharField(max_length=16)),
                ("priority", fields.SmallIntField()),
                ("tags", fields.JSONField()),
                ("data", fields.JSONField()),
                ("recipients", fields.JSONField()),
                ("reference", fields.CharField(null=True, max_length=255)),
                ("metadata", fields.JSONField()),
                ("sender", fields.CharField(null=True, max_length=255)),
                ("send_at", fields.DatetimeField(null=True)),
                ("created_at", fields.DatetimeField()),
            ],
            options={"table": "message"},
        ),
        ops.CreateModel(
            name="Delivery",
            fields=[
                ("id", fields.UUIDField(primary_key=True)),
                (
                    "message",
                    fields.ForeignKeyField(
                        "almenara.Message",
                        source_field="message_id",
                        related_name="deliveries",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("channel", fields.CharField(max_length=64)),
                ("position", fields.SmallIntField()),
                ("status", fields.CharField(max_length=16)),
                ("reason", fields.CharField(null=True, max_length=32)),
                ("priority", fields.SmallIntField()),
                ("due_at", fields.DatetimeField()),
                ("attempt_number", fields.IntField()),
                ("retry_step", fields.SmallIntField()),
                ("death_count", fields.SmallIntField()),
                ("token", fields.UUIDField(null=True)),
                ("started_at", fields.DatetimeField(null=True)),
                ("lease_until", fields.DatetimeField(null=True)),
                ("cancel_reason", fields.CharField(null=True, max_length=32)),
                ("reference", fields.CharField(null=True, max_length=255)),
                ("resend_of", fields.UUIDField(null=True)),
                ("created_at", fields.DatetimeField()),
                ("finished_at", fields.DatetimeField(null=True)),
            ],
            options={"table": "delivery"},
        ),
        ops.CreateModel(
            name="Attempt",
            fields=[
                ("id", fields.UUIDField(primary_key=True)),
                (
                    "delivery",
                    fields.ForeignKeyField(
                        "almenara.Delivery",
                        source_field="delivery_id",
                        related_name="attempts",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("message_id", fields.UUIDField()),
                ("number", fields.IntField()),
                ("outcome", fields.CharField(max_length=16)),
                ("error", fields.TextField(null=True)),
                ("reference", fields.CharField(null=True, max_length=255)),
                ("detail", fields.TextField(null=True)),
                ("started_at", fields.DatetimeField()),
                ("finished_at", fields.DatetimeField()),
                ("duration_ms", fields.IntField()),
                ("late", fields.BooleanField()),
            ],
            options={"table": "attempt"},
        ),
        ops.CreateModel(
            name="Topic",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id)),
                ("name", fields.CharField(unique=True, max_length=64)),
                ("strategy", fields.CharField(default="all", max_length=16)),
                ("enabled", fields.BooleanField(default=True)),
                ("created_at", fields.DatetimeField()),
                ("updated_at", fields.DatetimeField()),
            ],
            options={"table": "topic"},
        ),
        ops.CreateModel(
            name="TopicChannel",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id)),
                (
                    "topic",
                    fields.ForeignKeyField(
                        "almenara.Topic",
                        source_field="topic_id",
                        related_name="links",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "channel",
                    fields.ForeignKeyField(
                        "almenara.Channel",
                        source_field="channel_id",
                        related_name="links",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("position", fields.SmallIntField()),
            ],
            options={
                "table": "topic_channel",
                "app": "almenara",
                "unique_together": (("topic", "channel"),),
                "pk_attr": "id",
            },
        ),
        # The generator knows no partial index on SQLite; these read the same in both dialects.
        ops.RunSQL(INDEXES),
        ops.RunSQL("INSERT INTO configuration (id, revision) VALUES (1, 1)"),
    ]
