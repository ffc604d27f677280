"""What tests of shipped plugins need: a plugin loaded by its file, and a message to send."""

from __future__ import annotations

import asyncio
import importlib
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Protocol
from uuid import UUID

import trustme
from fastapi import BackgroundTasks

import almenara
from almenara import Message, Receipt

DIRECTORY = Path(almenara.__file__).parent / "plugins"


def load(directory: str, module: str) -> ModuleType:
    """Import a file of a shipped plugin as the loader does: from a package nobody can shadow."""
    package = f"_shipped_{directory}"
    if package not in sys.modules:
        synthetic = ModuleType(package)
        synthetic.__path__ = [str(DIRECTORY / directory)]
        sys.modules[package] = synthetic
    return importlib.import_module(f"{package}.{module}")


def a_message(**changes: Any) -> Message:
    values: dict[str, Any] = {
        "id": UUID("0190aaaa-0000-7000-8000-000000000001"),
        "topic": "pricing",
        "channel": "backoffice-mail",
        "description": "What does it cost?",
        "created_at": datetime(2026, 11, 2, 9, 30, tzinfo=UTC),
        "idempotency_key": "0190aaaa-0000-7000-8000-000000000002",
    }
    return Message(**(values | changes))


def server_certificate(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    """What a server of this name serves with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


class Place(Protocol):
    """Where a server listens."""

    host: str
    port: int


def email_settings(receiver: Place, **changes: Any) -> Any:
    values = {
        "server": receiver.host,
        "port": receiver.port,
        "from": "shop@example.org",
        "to": ["ana@example.org"],
    }
    return load("email", "email").Email.Settings(**(values | changes))


@asynccontextmanager
async def email_channel(receiver: Place, **changes: Any) -> AsyncIterator[Any]:
    """An instance of Email for a receiver, closed at the end."""
    channel = load("email", "email").Email(email_settings(receiver, **changes))
    try:
        yield channel
    finally:
        await channel.close()


async def send(channel: Any, **changes: Any) -> Receipt:
    """Send one message through an instance of Email."""
    receipt = await channel.send_message(a_message(**changes), BackgroundTasks())
    assert isinstance(receipt, Receipt)
    return receipt


@asynccontextmanager
async def odd_server(*lines: bytes, hang_up: bool = False) -> AsyncIterator[Any]:
    """A server that says its lines, one for each it hears, whatever it hears."""
    talks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        for line in lines:
            writer.write(line)
            if not hang_up:
                await reader.readline()
        if not hang_up:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield SimpleNamespace(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    await asyncio.gather(*(talk for talk in talks if talk))
