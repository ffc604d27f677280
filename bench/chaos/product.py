"""The product under test: `almenara serve` as a process that can be killed, stopped and frozen."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.chaos.journal import Journal

#: Where `bench` is found.
ROOT = Path(__file__).parents[2]
#: It must be ready, and must end when asked to, within so many seconds.
PATIENCE_SECONDS = 60
#: Ports of servers that come back at the same address stand below those that the system hands out.
_PORTS = range(21_000, 32_000)
_SERVE = ("-m", "almenara", "serve")
#: PostgreSQL set-ups need a key from outside; this one protects nothing.
_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class Product:
    """One server; it always comes back at the same address.

    Args:
        directory: where it keeps its data, unless it is given a PostgreSQL database.
        output: where what it writes is appended.
        program: what Python runs.
        environ: more of its environment.
    """

    def __init__(
        self,
        directory: Path,
        *,
        journal: Journal,
        output: Path,
        database_url: str | None = None,
        program: Sequence[str] = _SERVE,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.database_file = directory / "data" / "almenara.sqlite3"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = output
        #: When it was started last, by the wall clock.
        self.started_at = 0.0
        self._journal = journal
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._environ = clean_environment() | {
            "ALMENARA_DATA_DIR": str(directory / "data"),
            "ALMENARA_PLUGINS_DIR": str(directory / "plugins"),
            "ALMENARA_EGRESS_ALLOW": "127.0.0.0/8",
            "ALMENARA_LOG_FORMAT": "json",
            "ALMENARA_LOG_LEVEL": "warning",
        }
        if database_url is not None:
            self._environ |= {"ALMENARA_DATABASE_URL": database_url, "ALMENARA_SECRET_KEY": _KEY}
        self._environ |= environ or {}

    @property
    def pid(self) -> int:
        """Which process it is."""
        assert self._process is not None
        return self._process.pid

    @property
    def environ(self) -> Mapping[str, str]:
        """Its environment, for others that are to have the same."""
        return self._environ

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process is not None and self._process.poll() is None

    def launch(self, program: Sequence[str]) -> None:
        """Start another program in its place, and wait for nothing: it may die at once."""
        self._process = self._spawned(program)
        self._journal.write("start", pid=self.pid)

    async def start(self) -> float:
        """Start it, wait until it is ready, and return how long that took, in seconds.

        Raises:
            RuntimeError: it ended, or did not become ready; with what it wrote last.
        """
        began, self.started_at = time.monotonic(), time.time()
        self.launch(self._program)
        while not await self.ready():
            if not self.running or time.monotonic() - began > PATIENCE_SECONDS:
                raise RuntimeError(f"The product is not ready:\n{self.last_words()}")
            await asyncio.sleep(0.02)
        self._journal.write("ready", pid=self.pid)
        return time.monotonic() - began

    async def ready(self) -> bool:
        """Tell whether it says that it is ready."""
        return await asyncio.to_thread(_answers, f"{self.url}/readyz")

    def kill(self) -> None:
        """Kill it at once, as `kill -9` does, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, and write that into the journal."""
        assert self._process is not None
        self._process.send_signal(number)
        self._journal.write(number.name, pid=self.pid)

    async def ended(self) -> int | None:
        """Wait for its end, and return its exit code; ``None``: it did not end."""
        assert self._process is not None
        try:
            return await asyncio.to_thread(self._process.wait, PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _spawned(self, program: Sequence[str]) -> subprocess.Popen[bytes]:
        with self.output.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, *program, "--port", str(self.port)],
                env=self._environ,
                cwd=ROOT,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def last_words(self) -> str:
        """Return the end of what it wrote."""
        return self.output.read_text(errors="replace")[-2000:] if self.output.exists() else ""


def clean_environment() -> dict[str, str]:
    """Return this process's environment without settings, and without what measures coverage."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ALMENARA_", "COVERAGE_"))
    }


def free_port() -> int:
    """Find a port that nobody has."""
    start = int.from_bytes(os.urandom(2))
    for offset in range(len(_PORTS)):
        port = _PORTS[(start + offset) % len(_PORTS)]
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise RuntimeError("No port is free.")


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
