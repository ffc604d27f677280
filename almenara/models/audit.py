"""The trail of changes."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model


class AuditEntry(Model):
    """What somebody did to one thing; inserted once, and never changed."""

    _no_comments = True
    id = fields.UUIDField(primary_key=True, generated=False)
    #: Whose token it was; ``None``: none was asked for.
    subject = fields.CharField(max_length=255, null=True)
    #: Such as ``channel.changed``.
    action = fields.CharField(max_length=32)
    #: Such as ``channel/team-slack``.
    object = fields.CharField(max_length=128)
    #: As it was, secrets masked.
    before = fields.JSONField[dict[str, Any]](null=True)
    after = fields.JSONField[dict[str, Any]](null=True)
    created_at = fields.DatetimeField()

    class Meta:
        """Where it is stored."""

        table = "audit"
