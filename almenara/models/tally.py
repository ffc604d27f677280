"""What was counted, minute by minute; no part of the log."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model


class Tally(Model):
    """How often one thing happened in one minute, in all processes together."""

    _no_comments = True
    id = fields.UUIDField(primary_key=True, generated=False)
    #: Its beginning.
    minute = fields.DatetimeField()
    #: Empty where a channel was addressed directly.
    topic = fields.CharField(max_length=64)
    #: Empty where a message was accepted.
    channel = fields.CharField(max_length=64)
    #: ``accepted``, or what an attempt came to.
    outcome = fields.CharField(max_length=16)
    #: Why its delivery failed or is held; empty where it does not.
    reason = fields.CharField(max_length=32)
    count = fields.BigIntField()

    class Meta:
        """Where it is stored."""

        table = "tally"
        unique_together = (("minute", "topic", "channel", "outcome", "reason"),)
