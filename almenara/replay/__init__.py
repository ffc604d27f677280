"""Replays: many final deliveries are sent again, at a pace, by whichever process comes first.

``selection`` says which deliveries, ``pace`` how fast; ``replays`` writes the wish down and works
it off, one small transaction after another, so that a crash at any moment repeats nothing.
"""

from almenara.replay.counting import DryRun
from almenara.replay.pace import Pace, read_rate
from almenara.replay.replays import Progress, Replays, ReplayStatus
from almenara.replay.selection import FinalStatus, Selection

__all__ = [
    "DryRun",
    "FinalStatus",
    "Pace",
    "Progress",
    "ReplayStatus",
    "Replays",
    "Selection",
    "read_rate",
]
