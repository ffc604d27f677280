"""The product's own log through its HTTP API: wait for its end, release, read it into a file."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

#: A message that is in none of these will not move any more.
_MOVING = ("queued", "scheduled", "sending")
#: So many looks in a row must find nothing that moves.
_STILL_LOOKS = 2
_PAGE = 250
_READERS = 16


async def settle(url: str, *, patience_seconds: float) -> bool:
    """Wait until no message moves any more; tell whether that came.

    It takes two looks: what moves from one status to the other while each is asked for is in none.
    """
    deadline = time.monotonic() + patience_seconds
    still_count = 0
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline:
            moving = [status for status in _MOVING if await _any(session, url, status)]
            still_count = 0 if moving else still_count + 1
            if still_count == _STILL_LOOKS:
                return True
            await asyncio.sleep(0.2)
    return False


async def release_held(url: str) -> int:
    """Release what is held because processes died on it, as an operator would; return how many.

    Deaths by a fault from outside are not the fault of what was under way.
    """
    count = 0
    async with aiohttp.ClientSession() as session:
        held = f"{url}/v1/deliveries?status=held&reason=poison&limit={_PAGE}"
        while page := (await _get(session, held))["data"]:
            for delivery in page:
                path = f"{url}/v1/deliveries/{delivery['id']}/release"
                async with session.post(path) as response:
                    response.raise_for_status()
                count += 1
    return count


async def read_log(url: str, file: Path, *, topic: str | None = None) -> None:
    """Write one line for each message that is stored, with its deliveries and their attempts.

    Args:
        topic: only the messages of this topic.
    """
    with file.open("w", encoding="utf-8") as lines:
        async for message in stories(url, topic=topic):
            lines.write(json.dumps(_shortened(message)) + "\n")


async def stories(url: str, *, topic: str | None = None) -> AsyncIterator[dict[str, Any]]:
    """Yield each message as the API tells of it, with its deliveries and their attempts."""
    turn = asyncio.Semaphore(_READERS)

    async def story(session: aiohttp.ClientSession, message_id: str) -> dict[str, Any]:
        async with turn:
            message: dict[str, Any] = await _get(session, f"{url}/v1/messages/{message_id}")
            return message

    async with aiohttp.ClientSession() as session:
        async for page in _pages(session, url, topic):
            for one in await asyncio.gather(*(story(session, row["id"]) for row in page)):
                yield one


async def read(url: str) -> Any:
    """Return what is at an address of the API."""
    async with aiohttp.ClientSession() as session:
        return await _get(session, url)


async def _any(session: aiohttp.ClientSession, url: str, status: str) -> bool:
    return bool((await _get(session, f"{url}/v1/messages?status={status}&limit=1"))["data"])


async def _pages(
    session: aiohttp.ClientSession, url: str, topic: str | None
) -> AsyncIterator[list[Any]]:
    cursor: str | None = ""
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        more += f"&topic={topic}" if topic else ""
        page = await _get(session, f"{url}/v1/messages?limit={_PAGE}{more}")
        yield page["data"]
        cursor = page["next_cursor"]


def _shortened(message: dict[str, Any]) -> dict[str, Any]:
    """Keep what the checker needs of a message."""
    return {
        "id": message["id"],
        "key": message["reference"],
        "status": message["status"],
        "deliveries": [
            {
                "id": delivery["id"],
                "status": delivery["status"],
                "reason": delivery["reason"],
                "attempts": [
                    {
                        name: attempt[name]
                        for name in ("number", "outcome", "late", "started_at", "finished_at")
                    }
                    for attempt in delivery["attempts"]
                ],
            }
            for delivery in message["deliveries"]
        ],
    }


async def _get(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(url) as response:
        response.raise_for_status()
        return await response.json()
