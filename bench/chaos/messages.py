"""Messages that a scenario hands in itself, beside the load client's, and cancels again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

_AT_ONCE = 8


async def hand_in(url: str, topics: Sequence[str]) -> None:
    """Hand in one message on each of these topics; a topic may come more than once.

    Raises:
        aiohttp.ClientResponseError: one was not accepted.
    """
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(session: aiohttp.ClientSession, topic: str, number: int) -> None:
        body = {
            "topic": topic,
            "description": f"This is {topic}.",
            "reference": f"{topic} {number}",
        }
        async with turn, session.post(f"{url}/v1/messages", json=body) as response:
            response.raise_for_status()

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
