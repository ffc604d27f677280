"""Idempotency keys, expiry, collapsing."""

from __future__ import annotations

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

WAITING_EXPIRY = "status = 'pending' AND expires_at IS NOT NULL"
KEYED = "collapse_key IS NOT NULL"
INDEXES = [
    f"CREATE INDEX delivery_expires ON delivery (expires_at) WHERE {WAITING_EXPIRY}",
    f"CREATE INDEX message_collapse ON message (topic, collapse_key, id) WHERE {KEYED}",
]


class Migration(migrations.Migration):
    """The table of keys; columns that older rows leave empty."""

    dependencies = [("almenara", "0001_initial")]

    operations = [
        ops.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("message_id", fields.UUIDField(primary_key=True)),
                ("sender", fields.CharField(max_length=255)),
                ("key", fields.CharField(max_length=255)),
                ("fingerprint", fields.CharField(max_length=64)),
                ("created_at", fields.DatetimeField()),
            ],
            options={"table": "idempotency_key", "unique_together": (("sender", "key"),)},
        ),
        ops.AddField("Message", "expires_at", fields.DatetimeField(null=True)),
        ops.AddField("Message", "collapse_key", fields.CharField(max_length=255, null=True)),
        ops.AddField("Delivery", "expires_at", fields.DatetimeField(null=True)),
        ops.RunSQL(INDEXES),
    ]
