"""Messages that a scenario hands in itself, beside the load client's, and cancels again."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

_AT_ONCE = 8
#: A server that died must be back within so many seconds.
_PATIENCE_SECONDS = 60
_PAUSE_SECONDS = 0.1


async def hand_in(url: str, topics: Sequence[str]) -> None:
    """Hand in one message on each of these topics; a topic may come more than once.

    What a server that dies of the first does not answer is repeated under the same key.

    Raises:
        aiohttp.ClientResponseError: one was not accepted.
        aiohttp.ClientError: nobody has answered for too long.
    """
    turn, run = asyncio.Semaphore(_AT_ONCE), secrets.token_hex(4)
    until = time.monotonic() + _PATIENCE_SECONDS

    async def one(session: aiohttp.ClientSession, topic: str, number: int) -> None:
        body = {
            "topic": topic,
            "description": f"This is {topic}.",
            "reference": f"{topic} {number}",
        }
        key = {"Idempotency-Key": f"{run}-{number}"}
        while True:
            try:
                async with (
                    turn,
                    session.post(f"{url}/v1/messages", json=body, headers=key) as response,
                ):
                    response.raise_for_status()
                    return
            except aiohttp.ClientConnectionError:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(one(session, topic, index) for index, topic in enumerate(topics)))


async def cancel(url: str, messages: Sequence[Mapping[str, Any]]) -> None:
    """Cancel these messages.

    Raises:
        aiohttp.ClientResponseError: one could not be cancelled.
    """
    async with aiohttp.ClientSession() as session:
        for message in messages:
            async with session.post(f"{url}/v1/messages/{message['id']}/cancel") as response:
                response.raise_for_status()
