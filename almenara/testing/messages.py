"""A message to send in a test, and a way to send it as the server does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from almenara.dispatch import Ended, call_plugin
from almenara.egress import Egress, configure
from almenara.plugin import Message, build_settings, settings_class

#: Where services of tests are.
_LOOPBACK = ("127.0.0.0/8", "::1/128")


def a_message(**changes: Any) -> Message:
    """Return a message, but for what is changed."""
    values: dict[str, Any] = {
        "id": UUID("0190aaaa-0000-7000-8000-000000000001"),
        "topic": "sales",
        "channel": "test",
        "title": "New lead",
        "description": "I need help with my plan",
        "created_at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        "idempotency_key": "0190aaaa-0000-7000-8000-000000000002",
    }
    return Message(**(values | changes))


Send = Callable[..., Awaitable[Ended]]


@asynccontextmanager
async def sending(
    plugin: type, values: Mapping[str, Any], *, timeout_seconds: float = 20.0
) -> AsyncIterator[Send]:
    """Give a function that sends a message through a new instance of a plugin, as the server does.

    It takes what is changed of :func:`a_message`, and returns how the call ended: ``value``,
    ``error``, ``timed_out``. Addresses of this machine may be reached, and no others.

    Args:
        plugin: the class.
        values: the settings of a channel; secrets in clear.
        timeout_seconds: the deadline of one attempt.
    """
    egress = Egress(_LOOPBACK)
    configure(egress)

    def build() -> Any:
        settings = settings_class(plugin)
        if settings is None:
            return plugin()
        return plugin(build_settings(plugin, settings, values, None))

    async def send(**changes: Any) -> Ended:
        return await call_plugin(
            None,
            build,
            a_message(**changes),
            timeout_seconds=timeout_seconds,
            abandon=asyncio.get_running_loop().create_future(),
        )

    try:
        yield send
    finally:
        configure(None)
        await egress.close()
