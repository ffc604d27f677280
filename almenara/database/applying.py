"""Applies migrations by Tortoise, without what it does beside.

Before each operation Tortoise copies every model that there is, as classes, for operations that
look at what was; after it, it makes the querysets of all of them anew. That is two thirds of the
time of a server's first start, and leaves twenty megabytes of cycles to the garbage collector.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.schema_generator.state import State
from tortoise.migrations.schema_generator.state_apps import StateApps


class Executor(MigrationExecutor):
    """Applies what is missing, one operation after the other."""

    async def _project_state(self, *args: Any, **options: Any) -> State:
        state = await super()._project_state(*args, **options)
        return _FrugalState(models=state.models, apps=_FrugalApps.of(state.apps))


class _FrugalState(State):
    """The models as they stand between two operations, of which none looks back."""

    def clone(self) -> State:
        return cast("State", _NOT_KEPT)


class _FrugalApps(StateApps):
    """The models, of which statements are made that define tables, and no others."""

    @classmethod
    def of(cls, apps: StateApps) -> StateApps:
        made = cls(apps._default_connections, apps._connections)  # noqa: SLF001 - no public way
        made.apps = apps.apps
        return made

    def _build_initial_querysets(self) -> None:
        """Make none: nobody asks these models for rows."""


class _NotKept:
    """Stands for the models before an operation."""

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(
            f"This operation looks at the {name} before it, which are not kept. "
            "Write it as SQL, or let almenara.database.applying copy them for it."
        )


_NOT_KEPT = _NotKept()


@contextmanager
def little_to_look_at() -> Iterator[None]:
    """Collect what became garbage, and pass over what was there already, so that it is quick."""
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
