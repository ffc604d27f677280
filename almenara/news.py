"""What the router itself has to tell: written down where it happens, sent as a message on a topic.

Whoever does something of note inside a transaction puts it on ``transaction.news``; the ledger has
it planned and written before that transaction commits. So news are exactly as true as their cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

#: Topics that begin so are the router's own.
SYSTEM_PREFIX = "almenara."


class SystemTopic(StrEnum):
    """The topics on which the router tells its own news, where a topic of that name exists."""

    #: A delivery has failed for good, or is held for an operator.
    DELIVERY_FAILED = "almenara.delivery-failed"
    #: A channel takes nothing more until it is resumed, or a probe succeeds.
    CHANNEL_PAUSED = "almenara.channel-paused"
    #: A paused channel takes deliveries again.
    CHANNEL_RESUMED = "almenara.channel-resumed"
    #: A channel's drill fails, where the one before did not.
    DRILL_FAILED = "almenara.drill-failed"
    #: A channel's drill succeeds again.
    DRILL_RECOVERED = "almenara.drill-recovered"
    #: A plugin's file cannot be used.
    PLUGIN_BROKEN = "almenara.plugin-broken"


@dataclass(frozen=True, slots=True)
class News:
    """One thing that happened."""

    topic: SystemTopic
    at: datetime
    title: str
    #: What happened and what to do about it, without secrets.
    text: str
    #: The same for machines.
    data: Mapping[str, Any] = field(default_factory=dict)
    #: News with a key are told once; the same key again tells nothing.
    key: str | None = None
