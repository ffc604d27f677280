"""One timer for many waits: each ends in time, and what is done is forgotten."""

from __future__ import annotations

import asyncio

import pytest

from almenara.errors import InFlightError
from almenara.timeouts import Timeouts


async def test_a_wait_that_takes_too_long_ends_with_the_error() -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    Timeouts(0.01, InFlightError).watch(future)
    with pytest.raises(InFlightError):
        await future


async def test_each_wait_has_its_own_time() -> None:
    loop = asyncio.get_running_loop()
    timeouts = Timeouts(0.05, InFlightError)
    first: asyncio.Future[None] = loop.create_future()
    second: asyncio.Future[None] = loop.create_future()
    ended: list[asyncio.Future[None]] = []
    for wait in (first, second):
        wait.add_done_callback(ended.append)
        timeouts.watch(wait)
        await asyncio.sleep(0.03)
    for wait in (first, second):
        with pytest.raises(InFlightError):
            await wait
    assert ended == [first, second]


async def test_what_was_answered_stays_so_and_the_next_is_still_watched() -> None:
    loop = asyncio.get_running_loop()
    timeouts = Timeouts(0.02, InFlightError)
    answered: asyncio.Future[str] = loop.create_future()
    cancelled: asyncio.Future[str] = loop.create_future()
    late: asyncio.Future[str] = loop.create_future()
    for future in (late, answered, cancelled):
        timeouts.watch(future)
    answered.set_result("stored")
    cancelled.cancel()
    with pytest.raises(InFlightError):
        await late
    assert await answered == "stored"
    # The timer is at rest, and begins anew.
    again: asyncio.Future[str] = loop.create_future()
    timeouts.watch(again)
    with pytest.raises(InFlightError):
        await again


async def test_it_keeps_nothing_that_is_done() -> None:
    loop = asyncio.get_running_loop()
    timeouts = Timeouts(60, InFlightError)
    for _ in range(1000):
        future: asyncio.Future[None] = loop.create_future()
        timeouts.watch(future)
        future.set_result(None)
    assert len(timeouts._line) == 1
