"""Templates of topics and channels, and what foreign webhooks mean to a topic."""

from __future__ import annotations

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Three columns, empty in older rows."""

    dependencies = [("almenara", "0004_audit")]

    operations = [
        ops.AddField("Channel", "template", fields.JSONField(null=True)),
        ops.AddField("Topic", "template", fields.JSONField(null=True)),
        ops.AddField("Topic", "accept", fields.JSONField(null=True)),
    ]
