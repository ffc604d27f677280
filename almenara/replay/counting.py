"""How many deliveries a selection matches, and some of them; nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from almenara.database import Database, read_id
from almenara.models import Delivery
from almenara.replay.selection import Selection

#: A dry run counts no further; and one statement never does, so that others can read in between.
COUNTED_AT_ONCE = 10_000
#: So many deliveries of a dry run are shown.
SAMPLE = 10


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a replay would send again."""

    count: int
    #: Whether there are more than were counted.
    count_is_capped: bool
    #: The oldest of them, which would be the first.
    sample: Sequence[Delivery]


async def dry_run(database: Database, selection: Selection, replay_id: UUID) -> DryRun:
    """Count what a selection matches, not without end, and read the oldest of it."""
    count, _ = await _count_page(database, selection, replay_id, limit=COUNTED_AT_ONCE + 1)
    sql, values = selection.page(
        after=None, before=selection.newest_id(replay_id), replay_id=replay_id, limit=SAMPLE
    )
    ids = [read_id(row["id"]) for row in await database.fetch(sql, *values)]
    sample = await Delivery.filter(id__in=ids).using_db(database.reader).order_by("id")
    return DryRun(min(count, COUNTED_AT_ONCE), count > COUNTED_AT_ONCE, sample)


async def count_all(database: Database, selection: Selection, replay_id: UUID) -> int:
    """Count all that a selection matches, by statements that each end soon."""
    total, after = 0, None
    while True:
        count, last = await _count_page(
            database, selection, replay_id, after=after, limit=COUNTED_AT_ONCE
        )
        total += count
        if count < COUNTED_AT_ONCE:
            return total
        after = last


async def _count_page(
    database: Database,
    selection: Selection,
    replay_id: UUID,
    *,
    after: UUID | None = None,
    limit: int,
) -> tuple[int, UUID | None]:
    """Count the next that match, up to a limit, and return the last of them."""
    page, values = selection.page(
        after=after, before=selection.newest_id(replay_id), replay_id=replay_id, limit=limit
    )
    rows = await database.fetch(
        f"SELECT id, COUNT(*) OVER () AS number FROM ({page}) AS page ORDER BY id DESC LIMIT 1",
        *values,
    )
    return (rows[0]["number"], read_id(rows[0]["id"])) if rows else (0, None)
