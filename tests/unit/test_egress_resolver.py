"""Names are looked up by the system, and a look-up that hangs holds up nobody."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from almenara.egress.resolver import SystemResolver


async def test_a_name_is_looked_up_with_its_port() -> None:
    answers = await SystemResolver().resolve("localhost", 80)
    assert ("127.0.0.1", 80) in [address for *_, address in answers]


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 300])
async def test_a_name_without_an_address_is_an_error_of_the_system(name: str) -> None:
    with pytest.raises(socket.gaierror):
        await SystemResolver().resolve(name, 80)


async def test_look_ups_that_hang_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on, real = threading.Event(), socket.getaddrinfo

    def slow(host: str, *args: object, **kwargs: object) -> object:
        if host.startswith("slow"):
            goes_on.wait()
        return real("localhost" if host.startswith("slow") else host, *args, **kwargs)  # type: ignore[arg-type] - as it was called

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = SystemResolver()
    hanging = [asyncio.create_task(resolver.resolve(f"slow{number}", 80)) for number in range(100)]
    assert await resolver.resolve("localhost", 80)
    assert not any(task.done() for task in hanging)
    hanging[0].cancel()
    goes_on.set()
    results = await asyncio.gather(*hanging, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(isinstance(one, list) for one in results[1:])
