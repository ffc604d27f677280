"""What a ring is: the names of channels with the ids of deliveries, and who hears it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from almenara import __version__
from almenara.telemetry import get_logger

log = get_logger("celery")

#: The name of the task, as `celery inspect` and Flower show it.
TASK = "almenara.ring"
HIGH, NORMAL, DEAD = "almenara.high", "almenara.normal", "almenara.dead"
#: The broker must take a connection within so many seconds.
CONNECT_SECONDS = 4.0


class Engine(Protocol):
    """What sends, in each process of a worker."""

    def check(self) -> None:
        """Find out, before processes are made, whether this set-up can work.

        Raises:
            ConfigurationError: it cannot.
        """
        ...

    def begin(self, place: int) -> None:
        """Begin to send, in this process; returns at once.

        Args:
            place: which of the pool's processes it is; one that takes another's place has its.
        """
        ...

    def hear(self, rung: Mapping[str, Sequence[UUID]]) -> None:
        """Claim what was rung for; returns when that is committed."""
        ...

    def end(self) -> None:
        """Let what is under way end."""
        ...


def hear_ring(engine: Engine, rung: object, version: object) -> None:
    """Hand a ring over; whatever is wrong with it, the scan finds what is due."""
    if version != __version__ and version not in _versions_seen:
        _versions_seen.add(version)
        log.warning("other_version", rings=str(version)[:32], hears=__version__)
    try:
        assert isinstance(rung, dict)  # noqa: S101 - caught below, like what does not parse
        parsed = {str(name): [UUID(one) for one in ids] for name, ids in rung.items()}
    except (AssertionError, AttributeError, TypeError, ValueError):
        log.warning("ring_not_understood", version=str(version)[:32])
        return
    try:
        engine.hear(parsed)
    except Exception as error:  # noqa: BLE001 - a ring is only a hint, and must not come again
        log.warning("ring_not_heard", reason=type(error).__name__)


_versions_seen: set[object] = set()
