"""Ids: UUIDv7 made by the application, so that their order is the order of time."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a new UUIDv7: later ids of one process are greater."""
    return uuid7()


def lowest_id(moment: datetime) -> UUID:
    """Return the least UUIDv7 of a moment, so that times can be looked up by their ids."""
    milliseconds = max(0, int(moment.timestamp() * 1000)) & 0xFFFF_FFFF_FFFF
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0x8 << 60)
