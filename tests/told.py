"""A listener to the stream of messages, for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

#: What comes at all comes within so many seconds.
_PATIENCE = 30


@dataclass
class Told:
    """What one listener was told."""

    answer: aiohttp.ClientResponse
    ids: list[str] = field(default_factory=list)
    comments: int = 0

    async def next(self) -> tuple[str, Any] | None:
        """Return the next event's kind and data; ``None``: the stream has ended."""
        kind, data = "", ""
        async with asyncio.timeout(_PATIENCE):
            async for line in self.answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    data = value
                elif name == "id":
                    self.ids.append(value)
                elif not name and value:
                    self.comments += 1
                elif not name and kind:
                    return kind, json.loads(data)
        return None

    async def to_the_end(self) -> list[str]:
        """Return the kinds of all events that are still told."""
        kinds = []
        while (event := await self.next()) is not None:
            kinds.append(event[0])
        return kinds

    async def until(self, wanted: Callable[[Any], bool]) -> list[Any]:
        """Return the messages that are told up to the first that is wanted."""
        found: list[Any] = []
        while not found or not wanted(found[-1]):
            event = await self.next()
            assert event is not None, "the stream ended"
            assert event[0] == "message"
            found.append(event[1])
        return found


@asynccontextmanager
async def listening(url: str, path: str = "/v1/stream", **kwargs: Any) -> AsyncIterator[Told]:
    """Listen, and leave at the end of the block."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout, read_bufsize=2**22) as session,
        session.get(url + path, **kwargs) as answer,
    ):
        assert answer.status == 200, await answer.text()
        yield Told(answer)
