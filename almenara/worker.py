"""What `almenara worker` starts, and `celery -A almenara.worker worker`.

Celery forks one process for each `--concurrency`. In each, one thread runs an event loop with all
that sends; Celery's own thread hands it the rings, and waits only until they are claimed.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from importlib import import_module
from typing import Any, cast
from uuid import UUID

from almenara.errors import AlmenaraError, ConfigurationError, UnavailableError
from almenara.garbage import settle_down
from almenara.heartbeat import beating
from almenara.queues.embedded import EmbeddedQueue
from almenara.sending import check_database, embedded_queue, require_celery, sending
from almenara.settings import Settings, read_settings
from almenara.telemetry import configure, get_logger, process_name
from almenara.window import Window

log = get_logger("worker")

#: When the database is away at the start, it is tried again after so many seconds.
_TRY_AGAIN_SECONDS = 2.0
#: A ring waits so long to be claimed, in seconds; then the scan finds what it named.
_HEAR_SECONDS = 30.0
#: What comes after the drain, such as recording results, has so long, in seconds.
_LAST_SECONDS = 10.0


class Sender:
    """Sends, on an event loop in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._queue: EmbeddedQueue | None = None
        self._thread: threading.Thread | None = None
        self._window: Window | None = None

    def check(self) -> None:
        """Find out whether the database and the key can be used.

        Raises:
            ConfigurationError: they cannot, or the port for metrics cannot be served.
        """
        settings = self._settings
        configure(settings.log_format, settings.log_level, process=process_name())
        # Every attempt needs it; loaded by the parent, the processes of its pool share it.
        import_module("fastapi")
        asyncio.run(check_database(settings))
        if settings.metrics_port is not None:
            # In the parent: each process of its pool inherits it.
            self._window = Window(settings)

    def begin(self, place: int) -> None:
        """Begin to send; returns at once."""
        settings = self._settings
        configure(settings.log_format, settings.log_level, process=process_name())
        # The signal goes to the whole group where a service manager or a terminal sends it. This
        # process is stopped by its parent, once that hands out nothing more.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        import uvloop

        if self._window is not None:
            self._window.take_place(place)
        self._thread = threading.Thread(
            target=lambda: uvloop.run(self._run()), name="sender", daemon=True
        )
        self._thread.start()

    def hear(self, rung: Mapping[str, Sequence[UUID]]) -> None:
        """Claim what was rung for; returns when that is committed.

        Raises:
            UnavailableError: this process cannot claim anything just now.
        """
        if self._queue is None or self._loop is None:
            raise UnavailableError("The database was not reached yet.")
        heard = asyncio.run_coroutine_threadsafe(self._queue.hear(rung), self._loop)
        heard.result(_HEAR_SECONDS)

    def end(self) -> None:
        """Let what is under way end, within the drain's time; then stop."""
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(self._settings.drain_seconds + _LAST_SECONDS)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with beating(), self._window.shown() if self._window else nullcontext():
            while not self._stop.is_set():
                await self._send_until(self._stop)

    async def _send_until(self, stop: asyncio.Event) -> None:
        """Send until told to stop, or until the database is away."""
        try:
            async with sending(self._settings, make_queue=embedded_queue) as behind:
                self._queue = cast("EmbeddedQueue", behind.queue)
                settle_down()
                await stop.wait()
        except AlmenaraError as error:
            # It was there when the worker started: away for a moment, most likely.
            log.warning("worker_waits", reason=error.message)
            with suppress(TimeoutError):
                async with asyncio.timeout(_TRY_AGAIN_SECONDS):
                    await stop.wait()


def make_app(settings: Settings) -> Any:
    """Make the worker's Celery application, an object of Celery's own.

    Raises:
        ConfigurationError: there is no broker in the settings, or Celery is not installed.
    """
    require_celery()
    from almenara.queues.celery import make_worker

    return make_worker(settings, Sender(settings))


def __getattr__(name: str) -> object:
    """Make ``app`` when `celery -A almenara.worker` asks for it, from the environment."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        globals()["app"] = make_app(read_settings())
    except ConfigurationError as error:
        # One sentence instead of Celery's traceback.
        print(error.message, file=sys.stderr)  # noqa: T201 - for whoever typed the command
        raise SystemExit(78) from error
    return globals()["app"]
