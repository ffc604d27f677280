"""`almenara worker` as a process group that can be killed and frozen, whole or in part."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bench.chaos.journal import Journal
from bench.chaos.product import PATIENCE_SECONDS, ROOT


class Worker:
    """One worker; a service manager starts it again, when it is asked to.

    Args:
        environ: its whole environment, the API's.
        prefix: what it is started by, such as `ip netns exec NAME`.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        journal: Journal,
        output: Path,
        processes: int = 2,
        sends: int = 16,
        prefix: Sequence[str] = (),
    ) -> None:
        self._environ = dict(environ) | {"ALMENARA_LOG_LEVEL": "info"}
        self._journal = journal
        self._output = output
        self._processes = processes
        self._command = [*prefix, sys.executable, "-m", "almenara", "worker"]
        self._command += ["--processes", str(processes), "--sends", str(sends)]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and wait until each of its processes sends.

        Raises:
            RuntimeError: it ended, or does not send; with what it wrote last.
        """
        seen = self._ready_count()
        self._process = self._spawned()
        self._journal.write("worker start", pid=self._process.pid)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._ready_count() < seen + self._processes:
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = self._output.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"The worker does not send:\n{words}")
            await asyncio.sleep(0.05)

    @property
    def pid(self) -> int:
        """The parent of its pool."""
        assert self._process is not None
        return self._process.pid

    @property
    def children(self) -> list[int]:
        """The processes of its pool."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        return [int(one) for one in text.split()]

    def signal_child(self, number: signal.Signals) -> int:
        """Send a signal to the first process of the pool, and return which that is."""
        child = self.children[0]
        self._journal.write(f"worker's child {number.name}", pid=child)
        os.kill(child, number)
        return child

    def resume(self, child: int) -> None:
        """Let a process of the pool go on."""
        self._journal.write("worker's child SIGCONT", pid=child)
        os.kill(child, signal.SIGCONT)

    def kill(self) -> None:
        """Kill all of it at once."""
        assert self._process is not None
        self._journal.write("worker kill -9", pid=self.pid)
        self._signal_all(signal.SIGKILL)
        self._process.wait()

    async def stop(self) -> int:
        """Let it drain, and return its exit code."""
        assert self._process is not None
        self._journal.write("worker SIGTERM", pid=self.pid)
        self._signal_all(signal.SIGTERM)
        return await asyncio.to_thread(self._process.wait, PATIENCE_SECONDS)

    def lines(self, event: str) -> int:
        """Count the lines of its log with an event."""
        return self._output.read_text(errors="replace").count(f'"event": "{event}"')

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self._process is not None:
            self._signal_all(signal.SIGKILL)
            self._process.wait()

    def _signal_all(self, number: signal.Signals) -> None:
        """Signal its group, unless it was reaped: the group may be another's then."""
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self.pid, number)

    def _spawned(self) -> subprocess.Popen[bytes]:
        with self._output.open("ab") as file:
            return subprocess.Popen(
                self._command,
                env=self._environ,
                cwd=ROOT,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def _ready_count(self) -> int:
        if not self._output.exists():
            return 0
        count = 0
        for line in self._output.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                count += json.loads(line).get("event") == "ready"
        return count
