"""Renewing the leases of what is in flight: by a thread and a connection of its own.

So neither a plugin that blocks the event loop nor a busy pool of connections lets a lease run out.
SQLite needs none of it: its one process holds a file lock instead.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from almenara.database import Database
from almenara.deliveries import renew
from almenara.dispatch import Leases
from almenara.dispatch.leases import PART
from almenara.telemetry import get_logger

if TYPE_CHECKING:
    import asyncpg

log = get_logger("lease")

#: After a failure it is tried again so soon, in seconds; then after twice that, and so on.
_FIRST_WAIT = 0.25
#: It never waits longer than this share of the time between two renewals.
_LONGEST_WAIT = 0.4


class Renewal:
    """Renews the leases of one process."""

    def __init__(self, database: Database, leases: Leases) -> None:
        self._database = database
        self._leases = leases
        self._every = leases.length.total_seconds() / PART
        self._connection: asyncpg.Connection | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to renew; nothing to do on SQLite."""
        if self._database.dialect == "sqlite":
            return
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._renew_forever(), name="lease renewal")
        # A daemon: a process that must end at once does not wait for it.
        self._thread = threading.Thread(target=self._run, name="lease renewal", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Renew no more; safe where it was never started."""
        if self._loop is None or self._task is None or self._thread is None:
            return
        with suppress(RuntimeError):  # the thread has ended, and closed its loop
            self._loop.call_soon_threadsafe(self._task.cancel)
        await asyncio.to_thread(self._thread.join)

    @property
    def healthy(self) -> bool:
        """Whether leases are renewed where they need it."""
        return self._thread is None or self._thread.is_alive()

    def _run(self) -> None:
        assert self._loop is not None  # noqa: S101 - start made it
        assert self._task is not None  # noqa: S101 - same
        try:
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._task)
        finally:
            self._hang_up()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _renew_forever(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(self._wait(failures))
            lapsed_count = self._leases.newly_lapsed_count()
            if lapsed_count:
                log.warning(
                    "leases_lapsed",
                    claim_count=lapsed_count,
                    reason="they were not renewed in time: another process may send these again",
                )
            try:
                await self._renew()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next time may succeed
                failures += 1
                self._hang_up()
                log.warning("lease_renewal_failed", error=type(error).__name__)
            else:
                if failures:
                    log.info("lease_renewal_resumed", failure_count=failures)
                failures = 0

    def _wait(self, failures: int) -> float:
        if not failures:
            return self._every
        wait: float = _FIRST_WAIT * 2 ** min(failures - 1, 16)
        return min(wait, self._every * _LONGEST_WAIT)

    async def _renew(self) -> None:
        """Renew every lease by one statement; connect first where there is no connection."""
        if not self._leases.to_renew():
            return
        async with asyncio.timeout(2 * self._every):
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._database.connect("almenara leases")
            held = self._leases.to_renew()
            asked_at = time.monotonic()
            self._leases.renewed(await renew(self._connection, held, self._leases.length), asked_at)

    def _hang_up(self) -> None:
        """Drop the connection at once: its server may be away, and would not answer a goodbye."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
