"""Where a worker's `/metrics` are seen: one port, and any process of its pool answers for all."""

from __future__ import annotations

import asyncio
import atexit
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress

from almenara import figures
from almenara.errors import ConfigurationError
from almenara.settings import Settings
from almenara.telemetry import get_logger

log = get_logger("window")


class Window:
    """The port, opened by the parent before it makes its pool.

    Raises:
        ConfigurationError: it cannot be served, or others would see it without a token.
    """

    def __init__(self, settings: Settings) -> None:
        from almenara.app import build_metrics

        if not (settings.on_loopback or settings.asks_for_tokens):
            raise ConfigurationError(
                f"Without authentication, metrics are not served on {settings.host}: say who "
                "issues tokens (ALMENARA_JWT_ISSUER and a key), or serve 127.0.0.1 (ALMENARA_HOST)."
            )
        self._settings = settings
        # So that what is wrong with the settings is said here, and by no process of the pool.
        build_metrics(settings)
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        place = (settings.host, settings.metrics_port or 0)
        try:
            self._listener = socket.create_server(place, family=family)
        except OSError as error:
            raise ConfigurationError(
                f"Metrics cannot be served on {place[0]}:{place[1]}: {error.strerror or error}. "
                "Choose another --metrics-port (ALMENARA_METRICS_PORT)."
            ) from error
        stack = ExitStack()
        self._places = stack.enter_context(figures.make_places())
        atexit.register(_close_if, os.getpid(), stack)
        host, port = self._listener.getsockname()[:2]
        #: Where it is.
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        log.info("metrics", url=f"{self.url}/metrics")

    def take_place(self, place: int) -> None:
        """Go on from the figures of the process that was in this place before."""
        figures.take_place(self._places / f"{place}.json")

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Answer on the port, in one process of the pool, until the block ends."""
        import uvicorn

        from almenara.api.connection import Connection
        from almenara.app import build_metrics

        app = build_metrics(self._settings)
        config = uvicorn.Config(
            app, http=Connection, ws="none", lifespan="off", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[self._listener]), name="metrics")
        try:
            yield
        finally:
            server.should_exit = True
            with suppress(Exception):
                await serving


def _close_if(parent: int, stack: ExitStack) -> None:
    """Remove the files at the end of the process that made them, and of no child of it."""
    if os.getpid() == parent:
        stack.close()
