"""Several server processes on one port: started, started again when they die, stopped together.

Each is an ordinary `almenara serve` that is given the listening socket, so it drains by itself. Its
standard input is a pipe whose other end is here: it ends when this process is gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path

from almenara import figures
from almenara.cli.address import announce, listening
from almenara.settings import Settings
from almenara.telemetry import get_logger

log = get_logger("workers")

#: One that died is started again after so many seconds; after twice as many the next time.
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
#: One that lived so long did not die of its start, in seconds.
_LONG_LIFE = 60.0


async def serve_by_workers(settings: Settings, *, upgrade: bool = False) -> int:
    """Serve by several processes until a signal, and return the exit code.

    Raises:
        ConfigurationError: the database or the address cannot be used; nothing was started.
    """
    from almenara.sending import prepare

    await prepare(settings, upgrade=upgrade)
    with listening(settings) as listener, figures.make_places() as places:
        announce(settings, listener.getsockname()[1])
        return await Workers(listener, settings.workers, places).run()


class Workers:
    """The processes that share one listening socket.

    Args:
        places: the directory where each leaves its figures for the others.
    """

    def __init__(self, listener: socket.socket, count: int, places: Path) -> None:
        self._listener = listener
        self._descriptor = listener.fileno()
        self._count = count
        self._places = places
        self._processes: set[Process] = set()
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Keep all of them running until a signal; 0 when each ended as it should."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        codes = await asyncio.gather(*map(self._keep, range(self._count)))
        log.info("stopped", workers=self._count)
        return int(any(codes))

    def stop(self) -> None:
        """Let each of them drain; asked twice, kill them at once."""
        if self._stopping.is_set():
            for process in self._processes:
                process.kill()
            os._exit(1)
        self._stopping.set()
        # While they drain, nobody would take what comes in here.
        self._listener.close()
        for process in self._processes:
            process.terminate()

    async def _keep(self, place: int) -> int:
        """Run the process of one place, again and again; return how the last one ended."""
        wait = _FIRST_WAIT
        code = 0
        while not self._stopping.is_set():
            started_at = time.monotonic()
            process = await self._start(place)
            code = await process.wait()
            self._processes.discard(process)
            if self._stopping.is_set():
                break
            if time.monotonic() - started_at > _LONG_LIFE:
                wait = _FIRST_WAIT
            log.error(
                "worker_died", worker=process.pid, ended_by=_end(code), restart_in_seconds=wait
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._stopping.wait()
            wait = min(2 * wait, _LONGEST_WAIT)
        # By SIGTERM it ends where it had not begun to serve.
        return 0 if code == -signal.SIGTERM else code

    async def _start(self, place: int) -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "almenara", "serve", "--listener", str(self._descriptor)),
            *("--figures", str(self._places / f"{place}.json")),
            stdin=PIPE,
            pass_fds=(self._descriptor,),
            # Ctrl-C is for this process alone, which passes it on: twice would be "at once".
            start_new_session=True,
        )
        self._processes.add(process)
        log.info("worker_started", worker=process.pid)
        if self._stopping.is_set():
            process.terminate()
        return process


def _end(code: int) -> str:
    """Say how a process ended."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
