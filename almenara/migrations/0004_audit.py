"""The trail of changes: who did what."""

from __future__ import annotations

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

INDEXES = [
    "CREATE INDEX audit_object ON audit (object, id)",
    "CREATE INDEX audit_subject ON audit (subject, id)",
]


class Migration(migrations.Migration):
    """One table."""

    dependencies = [("almenara", "0003_policies")]

    operations = [
        ops.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", fields.UUIDField(primary_key=True)),
                ("subject", fields.CharField(max_length=255, null=True)),
                ("action", fields.CharField(max_length=32)),
                ("object", fields.CharField(max_length=128)),
                ("before", fields.JSONField(null=True)),
                ("after", fields.JSONField(null=True)),
                ("created_at", fields.DatetimeField()),
            ],
            options={"table": "audit"},
        ),
        ops.RunSQL(INDEXES),
    ]
