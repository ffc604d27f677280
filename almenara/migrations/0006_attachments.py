"""Attachments: contents in chunks, the messages that name them."""

from __future__ import annotations

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

INDEXES = [
    "CREATE INDEX attachment_use_content ON attachment_use (content_id)",
    "CREATE INDEX attachment_content_touched ON attachment_content (touched_at)",
]


class Migration(migrations.Migration):
    """Three tables, and a column that is empty in older rows."""

    dependencies = [("almenara", "0005_templates")]

    operations = [
        ops.AddField("Message", "attachments", fields.JSONField(null=True)),
        ops.CreateModel(
            name="AttachmentContent",
            fields=[
                ("sha256", fields.CharField(max_length=64, primary_key=True)),
                ("size", fields.IntField()),
                ("complete", fields.BooleanField(default=False, db_default=False)),
                ("touched_at", fields.DatetimeField()),
            ],
            options={"table": "attachment_content"},
        ),
        ops.CreateModel(
            name="AttachmentChunk",
            fields=[
                ("id", fields.UUIDField(primary_key=True)),
                (
                    "content",
                    fields.ForeignKeyField(
                        "almenara.AttachmentContent",
                        related_name="chunks",
                        on_delete=fields.CASCADE,
                    ),
                ),
                ("position", fields.SmallIntField()),
                ("data", fields.BinaryField()),
            ],
            options={
                "table": "attachment_chunk",
                "unique_together": (("content", "position"),),
            },
        ),
        ops.CreateModel(
            name="AttachmentUse",
            fields=[
                ("id", fields.UUIDField(primary_key=True)),
                (
                    "message",
                    fields.ForeignKeyField(
                        "almenara.Message", related_name="uses", on_delete=fields.CASCADE
                    ),
                ),
                (
                    "content",
                    fields.ForeignKeyField(
                        "almenara.AttachmentContent",
                        related_name="uses",
                        on_delete=fields.RESTRICT,
                    ),
                ),
            ],
            options={
                "table": "attachment_use",
                "unique_together": (("message", "content"),),
            },
        ),
        ops.RunSQL(INDEXES),
    ]
