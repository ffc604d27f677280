"""Almenara as processes of their own, which tests may stop and kill: by recorded pid, no others."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from almenara.deliveries import LEASE
from almenara.watch import LOOK_SECONDS

#: A process must be ready, and must end when asked to, within so many seconds: what takes
#: longer hangs, and is no machine with other work.
PATIENCE_SECONDS = 60


class AlmenaraProcess:
    """One command that runs until it is stopped: ``with ... as process``, which waits for it.

    It leads a process group of its own.

    Args:
        arguments: what stands behind `python -m`.
        ready: what is in the line of its log that says that it is ready.
        environ: its environment.
    """

    def __init__(self, *arguments: str, ready: re.Pattern[str], environ: Mapping[str, str]) -> None:
        self.environ = dict(environ)
        #: Where in its log it said that it is ready; none before, or where it never did.
        self.said_ready: re.Match[str] | None = None
        self._ready = ready
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self._lines: list[str] = []
        self._known = threading.Event()
        self._reader: threading.Thread | None = None

    def start(self) -> Self:
        """Start it, and wait until it says that it is ready (or ends)."""
        self.said_ready = None
        self._known.clear()
        self._process = subprocess.Popen(
            [sys.executable, "-m", *self._arguments],
            env=self.environ,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._known.wait(PATIENCE_SECONDS), self.output
        return self

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it at once, as `kill -9` does."""
        self.send_signal(signal.SIGKILL)
        self.wait()

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for its end, and return its exit code."""
        assert self._process is not None
        code = self._process.wait(seconds)
        assert self._reader is not None
        self._reader.join(5)
        return code

    @property
    def pid(self) -> int:
        """Which process it is."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> str:
        """What it wrote to standard error so far."""
        return "".join(self._lines)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.running:
            self.stop()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.kill()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._lines.append(line)
                found = self._ready.search(line)
                if found:
                    self.said_ready = found
                    self._known.set()
        self._known.set()


class ServerProcess(AlmenaraProcess):
    """One `almenara serve`: ``with ServerProcess(directory) as server``."""

    def __init__(
        self,
        directory: Path,
        *,
        database_url: str | None = None,
        environ: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
        lease_seconds: float | None = None,
        clock_ahead_seconds: float = 0.0,
        look_seconds: float | None = None,
    ) -> None:
        clean = {name: one for name, one in os.environ.items() if not name.startswith("ALMENARA_")}
        own = {
            "ALMENARA_DATA_DIR": str(directory / "data"),
            "ALMENARA_PLUGINS_DIR": str(directory / "plugins"),
            "ALMENARA_EGRESS_ALLOW": "127.0.0.0/8",
            "ALMENARA_LOG_FORMAT": "json",
            "ALMENARA_TEST_LEASE_SECONDS": str(lease_seconds or LEASE.total_seconds()),
            "ALMENARA_TEST_LOOK_SECONDS": str(look_seconds or LOOK_SECONDS),
            "ALMENARA_TEST_CLOCK_AHEAD_SECONDS": str(clock_ahead_seconds),
        }
        if database_url is not None:
            own["ALMENARA_DATABASE_URL"] = database_url
            own["ALMENARA_SECRET_KEY"] = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
        super().__init__(
            # An odd one is made of the same parts; see tests/odd_server.py.
            "almenara" if lease_seconds is look_seconds is None else "tests.odd_server",
            *("serve", "--port", "0", *arguments),
            ready=re.compile(r'"url": "(http://[^"]+)"'),
            environ=clean | own | dict(environ or {}),
        )

    @property
    def url(self) -> str:
        """Where it serves; empty until it does."""
        return self.said_ready[1] if self.said_ready else ""


class WorkerProcess(AlmenaraProcess):
    """One `almenara worker` with its pool: ``with WorkerProcess(server.environ) as worker``."""

    def __init__(self, environ: Mapping[str, str], *arguments: str) -> None:
        super().__init__(
            *("almenara", "worker", *arguments),
            ready=re.compile('"event": "ready"'),
            environ=environ,
        )

    @property
    def children(self) -> list[int]:
        """The processes of its pool."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(one) for one in text.split()]

    def stop(self) -> None:
        """Ask the whole group to end, as a service manager does."""
        self._signal_all(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the whole group."""
        self._signal_all(signal.SIGKILL)
        self.wait()

    def _signal_all(self, number: signal.Signals) -> None:
        if self.running:
            os.killpg(self.pid, number)
