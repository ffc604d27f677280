"""Drills: how often a channel is verified, and what the last one came to."""

from __future__ import annotations

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

#: None: there is one row for each channel at the most, and what is due is looked for once a second.
INDEXES: list[str] = []


class Migration(migrations.Migration):
    """Columns that are empty in older rows: nothing is drilled before somebody asks for it."""

    dependencies = [("almenara", "0006_attachments")]

    operations = [
        ops.AddField("Channel", "verify_every", fields.CharField(max_length=16, null=True)),
        ops.AddField("ChannelState", "verify_due_at", fields.DatetimeField(null=True)),
        ops.AddField("ChannelState", "verify_count", fields.IntField(default=0, db_default=0)),
        ops.AddField("ChannelState", "verified_at", fields.DatetimeField(null=True)),
        ops.AddField("ChannelState", "verify_outcome", fields.CharField(max_length=16, null=True)),
        ops.AddField("ChannelState", "verify_detail", fields.TextField(null=True)),
        ops.AddField("ChannelState", "verify_duration_ms", fields.IntField(null=True)),
    ]
