"""The processes that share a database, and which revisions of plugins they run."""

from __future__ import annotations

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

#: None: there are as many rows as processes.
INDEXES: list[str] = []


class Migration(migrations.Migration):
    """One table."""

    dependencies = [("almenara", "0007_verification")]

    operations = [
        ops.CreateModel(
            name="Process",
            fields=[
                ("id", fields.UUIDField(primary_key=True)),
                ("name", fields.CharField(max_length=300)),
                ("role", fields.CharField(max_length=16)),
                ("revisions", fields.JSONField(null=True)),
                ("broken", fields.JSONField(null=True)),
                ("started_at", fields.DatetimeField()),
                ("seen_at", fields.DatetimeField()),
            ],
            options={"table": "process"},
        ),
    ]
