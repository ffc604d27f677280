"""What each process counted, minute by minute, for the charts; and the version that it runs."""

from __future__ import annotations

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

#: None: the constraint's own index begins with the minute, by which it is read and deleted.
INDEXES: list[str] = []


class Migration(migrations.Migration):
    """One table, and a column that older processes leave empty."""

    dependencies = [("almenara", "0008_plugin_revisions")]

    operations = [
        ops.CreateModel(
            name="Tally",
            fields=[
                ("id", fields.UUIDField(primary_key=True)),
                ("minute", fields.DatetimeField()),
                ("topic", fields.CharField(max_length=64)),
                ("channel", fields.CharField(max_length=64)),
                ("outcome", fields.CharField(max_length=16)),
                ("reason", fields.CharField(max_length=32)),
                ("count", fields.BigIntField()),
            ],
            options={
                "table": "tally",
                "unique_together": (("minute", "topic", "channel", "outcome", "reason"),),
            },
        ),
        ops.AddField("Process", "version", fields.CharField(max_length=64, null=True)),
    ]
