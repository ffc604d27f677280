"""Figures: what a process counts of its own work, under the names that `/metrics` shows.

Counting adds to plain numbers and does nothing else. `prometheus_client` is loaded when somebody
asks for the first time, and writes the text.
"""

from almenara.figures.counting import (
    count_attempt,
    count_batch,
    count_rescued,
    keep_channels,
)
from almenara.figures.described import (
    DATABASE_UP,
    METRICS,
    MOST_PENDING,
    OLDEST_DUE,
    PAUSED,
    PENDING,
    SLOTS,
    SLOTS_TAKEN,
    Described,
    Key,
)
from almenara.figures.sharing import Counted, everyone, make_places, publish, take_place
from almenara.figures.tallying import (
    TAKEN,
    Series,
    forget_series,
    put_back_tallies,
    take_tallies,
)
from almenara.figures.ticking import counting
from almenara.figures.writing import CONTENT_TYPE, write

__all__ = [
    "CONTENT_TYPE",
    "DATABASE_UP",
    "METRICS",
    "MOST_PENDING",
    "OLDEST_DUE",
    "PAUSED",
    "PENDING",
    "SLOTS",
    "SLOTS_TAKEN",
    "TAKEN",
    "Counted",
    "Described",
    "Key",
    "Series",
    "count_attempt",
    "count_batch",
    "count_rescued",
    "counting",
    "everyone",
    "forget_series",
    "keep_channels",
    "make_places",
    "publish",
    "put_back_tallies",
    "take_place",
    "take_tallies",
    "write",
]
