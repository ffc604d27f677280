"""What happened to a message, in the order of time, told from its stored rows alone."""

from almenara.timeline.entry import Entry, Kind
from almenara.timeline.telling import tell

__all__ = ["Entry", "Kind", "tell"]
