"""Almenara for tests: its parts on a fresh database, and the whole server over a real socket."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn

from almenara.api.application import Application
from almenara.api.connection import Connection
from almenara.api.parts import Parts
from almenara.app import build, running
from almenara.cli.server import KEEP_ALIVE_SECONDS
from almenara.settings import Settings, read_settings
from almenara.watch import LOOK_SECONDS
from tests.tables import make_tables

#: Any key; what it seals lives as long as a test.
SECRET_KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def make_settings(
    directory: Path, database_url: str | None = None, **values: str | int | float
) -> Settings:
    """Return settings for a server of one test; ``database_url`` for PostgreSQL."""
    environ = {
        "ALMENARA_DATA_DIR": str(directory / "data"),
        "ALMENARA_PLUGINS_DIR": str(directory / "plugins"),
        "ALMENARA_EGRESS_ALLOW": "127.0.0.0/8",
        "ALMENARA_PORT": "0",
        "ALMENARA_DRAIN_SECONDS": "5",
    }
    if database_url is not None:
        environ |= {"ALMENARA_DATABASE_URL": database_url, "ALMENARA_SECRET_KEY": SECRET_KEY}
    environ |= {f"ALMENARA_{name.upper()}": str(value) for name, value in values.items()}
    return read_settings(environ)


#: The applications that no test uses now, by the largest body that they take, and their names.
_applications: defaultdict[tuple[int, tuple[str, ...]], list[Application]] = defaultdict(list)


@dataclass
class Answer:
    """What the server answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> Any:
        """The JSON of the answer."""
        return json.loads(self.text)


class Client:
    """A client of a served Almenara: paths from the root, JSON in and out."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, parts: Parts | None = None
    ) -> None:
        self._session = session
        self.url = url
        self._parts = parts

    @property
    def parts(self) -> Parts:
        """What is behind the API, when it is served in this process."""
        assert self._parts is not None
        return self._parts

    async def call(self, method: str, path: str, body: Any = None, **kwargs: Any) -> Answer:
        """Make one request."""
        if body is not None:
            # In a file, as aiohttp will have large ones.
            kwargs["data"] = io.BytesIO(json.dumps(body).encode())
            kwargs["headers"] = {"Content-Type": "application/json"} | dict(
                kwargs.get("headers") or {}
            )
        async with self._session.request(method, self.url + path, **kwargs) as response:
            text = await response.text(errors="replace")
            return Answer(response.status, response.headers, text)

    async def get(self, path: str, **kwargs: Any) -> Answer:
        """Read."""
        return await self.call("GET", path, **kwargs)

    async def post(self, path: str, body: Any = None, **kwargs: Any) -> Answer:
        """Write."""
        return await self.call("POST", path, body, **kwargs)

    async def final(self, message_id: str, seconds: float = 30) -> Any:
        """Wait until nothing of a message waits any more, and return its story."""

        async def look() -> Any:
            story = (await self.get(f"/v1/messages/{message_id}")).body
            waiting = ("pending", "sending")
            return None if any(one["status"] in waiting for one in story["deliveries"]) else story

        return await until(look, seconds)


async def until(look: Callable[[], Awaitable[Any]], seconds: float = 30) -> Any:
    """Look again and again until something is seen, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        seen = await look()
        if seen:
            return seen
        assert time.monotonic() < deadline, "it was not seen in time"
        await asyncio.sleep(0.02)


@contextmanager
def _application(settings: Settings) -> Iterator[Application]:
    """Lend one application to test after test: FastAPI builds its routes slowly, at first use.

    What it is built from is mostly the size of a body; what it works with comes from the test.
    """
    own = (settings.asks_for_tokens, settings.sender_rate, settings.cors_origins)
    if any(own) or not settings.console or settings.traces == "on":
        yield build(settings)
        return
    idle = _applications[(settings.max_body_bytes, settings.allowed_hosts)]
    app = idle.pop() if idle else build(settings)
    try:
        yield app
    finally:
        del app.state.parts
        idle.append(app)


@asynccontextmanager
async def served(
    settings: Settings,
    *,
    clock: Callable[[], datetime] | None = None,
    look_seconds: float = LOOK_SECONDS,
) -> AsyncIterator[Client]:
    """Serve Almenara by a real uvicorn in this process, and give a client of it."""
    await make_tables(settings)
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(
            running(
                settings,
                clock=clock or (lambda: datetime.now(UTC)),
                look_seconds=look_seconds,
            )
        )
        app = stack.enter_context(_application(settings))
        app.state.parts = parts
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            port=0,
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=2,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        session = await stack.enter_async_context(aiohttp.ClientSession())
        try:
            yield Client(session, f"http://127.0.0.1:{port}", parts)
        finally:
            await session.close()
            # Not uvicorn's own end, which sleeps for a fifth of a second: the processes test that.
            for listener in server.servers:
                listener.close()
                await listener.wait_closed()
            serving.cancel()
            await asyncio.wait({serving})
