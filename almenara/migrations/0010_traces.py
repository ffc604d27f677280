"""The trace that a message belongs to."""

from __future__ import annotations

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

#: None: nothing is looked for by it.
INDEXES: list[str] = []


class Migration(migrations.Migration):
    """A column that is empty in older rows, and in those of older processes."""

    dependencies = [("almenara", "0009_charts")]

    operations = [
        ops.AddField("Message", "traceparent", fields.CharField(max_length=55, null=True)),
    ]
