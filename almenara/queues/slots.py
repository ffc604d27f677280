"""Send slots: how many attempts a process makes at once, in all and for each channel."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress

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
    """The slots of one process; taken and returned on its event loop.

    The last quarter is kept for channels that give their slots back soon, and half of it for others
    that have few: destinations that hang until their deadline, however many there are, cannot take
    all and let every other channel wait for them.

    Args:
        quick: tells whether a channel's attempts end soon.
    """

    def __init__(self, total: int, *, quick: Callable[[str], bool] = lambda _: False) -> None:
        self._total = total
        self._quick = quick
        self._reserved = total // 4
        #: So many slots are few.
        self._few = max(1, total // 64)
        self._taken: Counter[str] = Counter()
        self._taken_count = 0
        self._freed = asyncio.Event()

    @property
    def taken_count(self) -> int:
        """How many slots are taken, over all channels."""
        return self._taken_count

    async def wait_for_one(self, seconds: float) -> None:
        """Wait while every slot is taken, but no longer than so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._taken_count >= self._total:
                    self._freed.clear()
                    await self._freed.wait()

    def free(self, channel: ChannelRoute) -> int:
        """How many more attempts this channel may begin now."""
        has = self._taken[channel.name]
        left = self._total - self._taken_count
        usable = max(left - self._reserved, min(left - self._reserved // 2, self._few - has))
        if usable < left and self._quick(channel.name):
            usable = left
        return max(0, min(channel.concurrency - has, usable))

    def take(self, channel: ChannelRoute) -> bool:
        """Take one slot of a channel, if one is free."""
        if self.free(channel) == 0:
            return False
        self._taken[channel.name] += 1
        self._taken_count += 1
        return True

    def give_back(self, channel: str) -> bool:
        """Return one slot of a channel; tell whether another one may take a slot since then."""
        helps = self._taken_count >= self._total - self._reserved
        self._taken[channel] -= 1
        self._taken_count -= 1
        self._freed.set()
        if self._taken[channel] <= 0:
            del self._taken[channel]
        return helps

    def share(self, channels: Iterable[ChannelRoute]) -> dict[str, int]:
        """Take every slot that these channels can use, one each in turn, so that none is starved.

        The quick ones come first: what they take is back before long.

        Returns:
            How many were taken for each channel that got any.
        """
        shares: Counter[str] = Counter()
        hungry = sorted(channels, key=lambda channel: not self._quick(channel.name))
        while hungry:
            hungry = [channel for channel in hungry if self.take(channel)]
            shares.update(channel.name for channel in hungry)
        return dict(shares)
