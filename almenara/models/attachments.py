"""The contents of what messages bring: one copy of each, in chunks."""

from __future__ import annotations

from uuid import UUID

from tortoise import fields
from tortoise.models import Model

from almenara.models.ids import new_id
from almenara.models.log import Message


class AttachmentContent(Model):
    """One content, whoever brings it."""

    _no_comments = True
    #: In hexadecimal.
    sha256 = fields.CharField(max_length=64, primary_key=True, generated=False)
    #: In bytes.
    size = fields.IntField()
    #: Whether all of its chunks are stored.
    complete = fields.BooleanField(default=False, db_default=False)
    #: When it was brought last: one that no message names goes an hour later.
    touched_at = fields.DatetimeField()

    class Meta:
        """Where it is stored."""

        table = "attachment_content"


class AttachmentChunk(Model):
    """A piece of a content, small enough that no transaction is long."""

    _no_comments = True
    id = fields.UUIDField(primary_key=True, default=new_id)
    content: fields.ForeignKeyRelation[AttachmentContent] = fields.ForeignKeyField(
        "almenara.AttachmentContent", related_name="chunks", on_delete=fields.CASCADE
    )
    content_id: str
    position = fields.SmallIntField()
    data = fields.BinaryField()

    class Meta:
        """Where it is stored."""

        table = "attachment_chunk"
        unique_together = (("content", "position"),)


class AttachmentUse(Model):
    """A message names a content, and so keeps it."""

    _no_comments = True
    id = fields.UUIDField(primary_key=True, default=new_id)
    message: fields.ForeignKeyRelation[Message] = fields.ForeignKeyField(
        "almenara.Message", related_name="uses", on_delete=fields.CASCADE
    )
    message_id: UUID
    content: fields.ForeignKeyRelation[AttachmentContent] = fields.ForeignKeyField(
        "almenara.AttachmentContent", related_name="uses", on_delete=fields.RESTRICT
    )
    content_id: str

    class Meta:
        """Where it is stored."""

        table = "attachment_use"
        unique_together = (("message", "content"),)
