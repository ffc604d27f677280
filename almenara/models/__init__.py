"""The stored nouns: topics and channels, and the log of messages, deliveries and attempts.

The ledger writes the log by statements of its own; these models read it, and say what the migrated
schema must be. Times are UTC. Ids are UUIDv7 made by the application, so their order is the order
of time.

Each says `_no_comments`: Tortoise would read its source for comments on the database's columns,
which have none; a twentieth of what a server takes to start.
"""

from almenara.models.attachments import AttachmentChunk, AttachmentContent, AttachmentUse
from almenara.models.audit import AuditEntry
from almenara.models.configuration import Channel, ChannelState, Configuration, Topic, TopicChannel
from almenara.models.ids import lowest_id, new_id
from almenara.models.log import Attempt, Delivery, IdempotencyKey, Message, Replay
from almenara.models.process import Process
from almenara.models.tally import Tally

__all__ = [
    "AttachmentChunk",
    "AttachmentContent",
    "AttachmentUse",
    "Attempt",
    "AuditEntry",
    "Channel",
    "ChannelState",
    "Configuration",
    "Delivery",
    "IdempotencyKey",
    "Message",
    "Process",
    "Replay",
    "Tally",
    "Topic",
    "TopicChannel",
    "lowest_id",
    "new_id",
]
