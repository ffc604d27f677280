"""The contract of a queue: it decides when and where an attempt happens.

The rows are the promise, a queue is only the bell: what it forgets is found again by the scan for
what is due. One contract suite runs over every queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from almenara.deliveries import NewDelivery
from almenara.dispatch import Ready
from almenara.routing import ChannelRoute


class Queue(Protocol):
    """What accepting and the operator's hand need of a queue."""

    def take_slot(self, channel: ChannelRoute) -> bool:
        """Take a send slot that is free now, for a delivery about to be born claimed.

        Whoever takes one owes it: :meth:`start_attempts` or :meth:`return_slot`.
        """
        ...

    def return_slot(self, channel: str) -> None:
        """Give a slot back that was taken in vain."""
        ...

    def start_attempts(self, ready: Sequence[Ready]) -> None:
        """Begin the attempts of deliveries that were born claimed and are committed now."""
        ...

    def ring(self, channels: Iterable[str]) -> None:
        """Say that something of these channels may be due now; cheap, and safe to forget."""
        ...

    def ring_for(self, deliveries: Sequence[NewDelivery]) -> None:
        """Say that these wait, and are committed; as cheap, and as safe to forget."""
        ...

    async def start(self) -> None:
        """Take back what a dead process held, and begin to work."""
        ...

    async def drain(self, grace_seconds: float) -> None:
        """Claim nothing more, let attempts under way end within the grace, give the rest back."""
        ...

    @property
    def trouble(self) -> str | None:
        """What is wrong, although nothing is lost and nothing waits for it to be mended."""
        ...

    @property
    def healthy(self) -> bool:
        """Whether what is due is being looked for."""
        ...
