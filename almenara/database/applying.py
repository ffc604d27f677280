"""Applies migrations by Tortoise, and leaves no memory behind.

Before each operation Tortoise copies every model that there is, as classes, which are cycles: they
live until the garbage collector looks at what is old. A server that makes its tables at its first
start would keep twenty megabytes for what it did in its first second.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.schema_generator.state import State


class Executor(MigrationExecutor):
    """Applies what is missing, one operation after the other."""

    async def _project_state(self, *args: Any, **options: Any) -> State:
        state = await super()._project_state(*args, **options)
        return _FrugalState(models=state.models, apps=state.apps)


class _FrugalState(State):
    """The models as they stand between two operations; the copy before the last one is freed."""

    def clone(self) -> State:
        gc.collect()
        return super().clone()


@contextmanager
def little_to_look_at() -> Iterator[None]:
    """Let the garbage collector pass over what is there already, so that it is quick."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.collect()
