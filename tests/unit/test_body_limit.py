"""The limit on bodies: so many large ones at once, and each turn is given back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from almenara.api.attachment_bodies import LARGEST_BODY
from almenara.api.body import UnreadableBodyError
from almenara.api.body_limit import BodyLimit

LARGEST = 100


async def take(limit: BodyLimit, size: int, *, path: str = "/v1/messages") -> None:
    """Send a body in two pieces."""
    pieces = [
        {"type": "http.request", "body": b"x" * (size // 2), "more_body": True},
        {"type": "http.request", "body": b"x" * (size - size // 2), "more_body": False},
    ]

    async def receive() -> Any:
        return pieces.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    await limit(scope, receive, send)


def reading(then: Callable[[], Awaitable[object]]) -> BodyLimit:
    """Return a limit before an application that reads all, and then does something."""

    async def application(_scope: Any, receive: Any, _send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        await then()

    return BodyLimit(application, largest=LARGEST, large_at_once=1)


async def test_one_large_body_too_many_is_told_to_come_back() -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        inside.set()
        await go_on.wait()

    limit = reading(wait)
    first = asyncio.create_task(take(limit, LARGEST + 1))
    await inside.wait()
    with pytest.raises(UnreadableBodyError) as refused:
        await take(limit, LARGEST + 1)
    assert (refused.value.status_code, refused.value.code) == (503, "unavailable")
    assert refused.value.headers == {"Retry-After": "1"}
    small = asyncio.create_task(take(limit, LARGEST))
    go_on.set()
    await asyncio.gather(first, small)
    # The turn was given back, by the one that was refused too.
    await take(limit, LARGEST + 1)
    await take(limit, LARGEST + 1)


@pytest.mark.parametrize(
    ("path", "largest"),
    [
        ("/v1/messages", LARGEST_BODY),
        ("/v1/messages/explain", LARGEST_BODY),
        ("/v1/topics/sales/messages", LARGEST_BODY),
        ("/v1/topics/sales/messages/explain", LARGEST_BODY),
        ("/v1/messages/batch", LARGEST),
        ("/v1/topics/sales", LARGEST),
        ("/v1/channels", LARGEST),
    ],
)
async def test_only_messages_may_be_large(path: str, largest: int) -> None:
    limit = reading(lambda: asyncio.sleep(0))
    await take(limit, largest, path=path)
    with pytest.raises(UnreadableBodyError) as refused:
        await take(limit, largest + 1, path=path)
    assert refused.value.status_code == 413
