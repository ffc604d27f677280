"""Send slots: how many attempts a process makes at once, in all and for each channel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from almenara.routing import ChannelRoute

#: Every so many claims go by age alone, so that urgent deliveries never starve the others.
OLDEST_FIRST_EVERY = 4


class Turns:
    """Whose turn it is: that of the most urgent, or now and then that of the oldest."""

    def __init__(self) -> None:
        self._count = 0

    def oldest_first(self) -> bool:
        """Tell whether this claim goes by age alone."""
        self._count = (self._count + 1) % OLDEST_FIRST_EVERY
        return self._count == 0


class Slots:
    """The slots of one process; taken and returned on its event loop."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._taken: Counter[str] = Counter()
        self._taken_count = 0

    @property
    def full(self) -> bool:
        """Whether every slot of the process is taken."""
        return self._taken_count >= self._total

    @property
    def taken_count(self) -> int:
        """How many slots are taken, over all channels."""
        return self._taken_count

    def free(self, channel: ChannelRoute) -> int:
        """How many more attempts this channel may begin now."""
        return max(
            0,
            min(
                channel.concurrency - self._taken[channel.name],
                self._total - self._taken_count,
            ),
        )

    def take(self, channel: ChannelRoute) -> bool:
        """Take one slot of a channel, if one is free."""
        if self.free(channel) == 0:
            return False
        self._taken[channel.name] += 1
        self._taken_count += 1
        return True

    def give_back(self, channel: str) -> None:
        """Return one slot of a channel."""
        self._taken[channel] -= 1
        self._taken_count -= 1
        if self._taken[channel] <= 0:
            del self._taken[channel]

    def share(self, channels: Iterable[ChannelRoute]) -> dict[str, int]:
        """Take every slot that these channels can use, one each in turn, so that none is starved.

        Returns:
            How many were taken for each channel that got any.
        """
        shares: Counter[str] = Counter()
        hungry = list(channels)
        while hungry:
            hungry = [channel for channel in hungry if self.take(channel)]
            shares.update(channel.name for channel in hungry)
        return dict(shares)
