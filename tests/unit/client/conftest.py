"""What tests of the client get: each of them runs with both clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from almenara.client import AsyncClient, Client
from tests.scripted_server import ScriptedServer


class Either:
    """One of the two clients, each awaited: ``await either.send("text", topic="sales")``."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)

        async def do(*args: Any, **kwargs: Any) -> Any:
            if isinstance(self.client, Client):
                return await asyncio.to_thread(_whole, method, args, kwargs)
            result = method(*args, **kwargs)
            if isinstance(result, AsyncIterator):
                return [one async for one in result]
            return await result

        return do


def _whole(method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    result = method(*args, **kwargs)
    return list(result) if hasattr(result, "__next__") else result


New = Callable[..., Either]


@pytest.fixture(params=[Client, AsyncClient], ids=["sync", "async"])
async def new(request: pytest.FixtureRequest) -> AsyncIterator[New]:
    """Make a client; it is closed in the end."""
    made: list[Either] = []

    def make(url: str, token: str | None = None, **options: Any) -> Either:
        made.append(Either(request.param(url, token, **options)))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
def server() -> Any:
    """A server that answers as a test says."""
    with ScriptedServer() as one:
        yield one
