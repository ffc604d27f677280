"""Almenara as a process of its own, which tests may kill: by its recorded pid, and nothing else."""

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

#: A server must be ready, and must end when asked to, within so many seconds.
PATIENCE_SECONDS = 30


class ServerProcess:
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
        #: An odd one is made of the same parts; see tests/odd_server.py.
        usual = lease_seconds is None and look_seconds is None
        self._module = "almenara" if usual else "tests.odd_server"
        self.environ = (
            {name: value for name, value in os.environ.items() if not name.startswith("ALMENARA_")}
            | {
                "ALMENARA_DATA_DIR": str(directory / "data"),
                "ALMENARA_PLUGINS_DIR": str(directory / "plugins"),
                "ALMENARA_EGRESS_ALLOW": "127.0.0.0/8",
                "ALMENARA_LOG_FORMAT": "json",
            }
            | (
                {}
                if database_url is None
                else {
                    "ALMENARA_DATABASE_URL": database_url,
                    "ALMENARA_SECRET_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
                }
            )
            | {
                "ALMENARA_TEST_LEASE_SECONDS": str(lease_seconds or LEASE.total_seconds()),
                "ALMENARA_TEST_LOOK_SECONDS": str(look_seconds or LOOK_SECONDS),
                "ALMENARA_TEST_CLOCK_AHEAD_SECONDS": str(clock_ahead_seconds),
            }
            | dict(environ or {})
        )
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self._lines: list[str] = []
        self._serving = threading.Event()
        self._reader: threading.Thread | None = None
        self.url = ""

    def start(self) -> Self:
        """Start it, and wait until it says where it serves (or ends)."""
        self._serving.clear()
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module, "serve", "--port", "0", *self._arguments],
            env=self.environ,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._serving.wait(PATIENCE_SECONDS), self.output
        return self

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

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
            self.send_signal(signal.SIGTERM)
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
                found = re.search(r'"url": "(http://[^"]+)"', line)
                if found:
                    self.url = found[1]
                    self._serving.set()
        self._serving.set()
