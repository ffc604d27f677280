"""A client of a running server, for programs: ``Client``, and ``AsyncClient`` for an event loop.

    from almenara.client import Client

    with Client("https://almenara.example.org", token) as client:
        accepted = client.send("I need help with my plan", topic="sales")
        print(client.wait(accepted.id).status)

It needs h11 and the standard library, and nothing else of Almenara but its errors. What may help is
tried again within ``total_seconds``; a message is stored once all the same, by its idempotency key.
The names are looked up when they are first used, so that the command line loads what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from almenara.client.answers import Answer
    from almenara.client.awaiting import AsyncClient
    from almenara.client.blocking import Client
    from almenara.client.failures import (
        NoAnswerError,
        NotSettledError,
        RefusedError,
        StrangeAnswerError,
        UnreachableError,
    )
    from almenara.client.message_operations import Attachment
    from almenara.errors import AlmenaraError, ConfigurationError, FieldError

__all__ = [
    "AlmenaraError",
    "Answer",
    "AsyncClient",
    "Attachment",
    "Client",
    "ConfigurationError",
    "FieldError",
    "NoAnswerError",
    "NotSettledError",
    "RefusedError",
    "StrangeAnswerError",
    "UnreachableError",
]

_HOMES = {
    "AlmenaraError": "almenara.errors",
    "Answer": "almenara.client.answers",
    "AsyncClient": "almenara.client.awaiting",
    "Attachment": "almenara.client.message_operations",
    "Client": "almenara.client.blocking",
    "ConfigurationError": "almenara.errors",
    "FieldError": "almenara.errors",
    "NoAnswerError": "almenara.client.failures",
    "NotSettledError": "almenara.client.failures",
    "RefusedError": "almenara.client.failures",
    "StrangeAnswerError": "almenara.client.failures",
    "UnreachableError": "almenara.client.failures",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'almenara.client' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
