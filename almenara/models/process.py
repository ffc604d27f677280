"""The processes that share a database."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model


class Process(Model):
    """One running server or worker process; its row goes with it."""

    _no_comments = True
    id = fields.UUIDField(primary_key=True, generated=False)
    #: Such as ``4711@worker-1``.
    name = fields.CharField(max_length=300)
    #: ``server`` or ``worker``.
    role = fields.CharField(max_length=16)
    #: The revision of each plugin that it runs, by qualified name.
    revisions = fields.JSONField[dict[str, str]](null=True)
    #: The reason of each that it has broken, by qualified name, or by directory.
    broken = fields.JSONField[dict[str, str]](null=True)
    #: Of Almenara; ``None``: an older one, which did not say.
    version = fields.CharField(max_length=64, null=True)
    started_at = fields.DatetimeField()
    #: When it reported itself last.
    seen_at = fields.DatetimeField()

    class Meta:
        """Where it is stored."""

        table = "process"
