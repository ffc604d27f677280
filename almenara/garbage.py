"""How often Python's garbage collector looks; it is a tenth of the processor, if it is not told."""

from __future__ import annotations

import gc
from typing import Final

#: It looks at what is new after so many objects, and at what has outlived that after so many looks;
#: Python's own are 700, 10 and 10.
_COLLECTIONS: Final = (20_000, 50, 100)


def collect_seldom() -> None:
    """Let it look seldom, from the first import on: imports make many objects and no garbage."""
    gc.set_threshold(*_COLLECTIONS)


def settle_down() -> None:
    """Let it pass over all that stands now, whenever it looks.

    For a process that is to serve until it ends. It does not look once more before: of a hundred
    thousand objects, imports leave some thirty behind.
    """
    gc.freeze()
    collect_seldom()
