"""`almenara worker` as a process group of its own, which tests may stop and kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.processes import PATIENCE_SECONDS


class WorkerProcess:
    """One worker: ``with WorkerProcess(server.environ) as worker``."""

    def __init__(self, environ: Mapping[str, str], *arguments: str) -> None:
        self._environ = dict(environ)
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self._lines: list[str] = []
        self._sending = threading.Event()
        self._reader: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """The parent of its pool."""
        assert self._process is not None
        return self._process.pid

    @property
    def children(self) -> list[int]:
        """The processes of its pool."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(one) for one in text.split()]

    @property
    def output(self) -> str:
        """What it wrote so far."""
        return "".join(self._lines)

    def stop(self) -> None:
        """Ask the whole group to end, as a service manager does."""
        os.killpg(self.pid, signal.SIGTERM)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for its end, and return its exit code."""
        assert self._process is not None
        return self._process.wait(seconds)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "almenara", "worker", *self._arguments],
            env=self._environ,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._sending.wait(PATIENCE_SECONDS), self.output
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self.stop()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self.wait()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._lines.append(line)
                if '"event": "ready"' in line:
                    self._sending.set()
        self._sending.set()
