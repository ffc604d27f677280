"""A private PostgreSQL cluster on a port of its own, which may be killed and its power cut.

PostgreSQL refuses to run as root; a root machine runs it as its service user `postgres`.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import select
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

from bench.chaos.journal import Journal
from bench.chaos.product import free_port
from bench.chaos.scenario import CannotRun

_USER = "postgres"
_PATIENCE_SECONDS = 60
#: Like `pg_ctl stop -m`.
_MODES = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Cluster:
    """One PostgreSQL server and its data; every process that it has, only it signals.

    Args:
        directory: where the data lie; its parents must be open to the service user.

    Raises:
        CannotRun: PostgreSQL's programs are not installed, or nobody may run them here.
    """

    def __init__(self, directory: Path, *, journal: Journal, output: Path) -> None:
        self._programs = programs()
        self._directory = directory
        self._journal = journal
        self._output = output
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            try:
                user = pwd.getpwnam(_USER)
            except KeyError as error:
                raise CannotRun(f"PostgreSQL refuses root, and there is no user {_USER}") from error
            self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"postgres://{_USER}@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """The server's first process."""
        assert self._process is not None
        return self._process.pid

    async def create(self) -> None:
        """Make an empty cluster, synced to its disk, and start it."""
        self._directory.mkdir(parents=True)
        if self._as_user:
            os.chown(self._directory, self._as_user["user"], self._as_user["group"])
        self._directory.chmod(0o700)
        command = [str(self._programs / "initdb"), "-A", "trust", "-U", _USER, "-E", "UTF8"]
        await asyncio.to_thread(
            subprocess.run,
            [*command, "-D", str(self._directory)],
            check=True,
            capture_output=True,
            cwd="/",
            **self._as_user,
        )
        await self.start()

    async def start(self) -> None:
        """Start the server, and wait until it takes connections.

        Raises:
            RuntimeError: it does not.
        """
        self._process = self._spawned()
        await self.back()
        self._journal.write("postgres start", pid=self._process.pid)

    async def back(self) -> None:
        """Wait until it takes connections.

        Raises:
            RuntimeError: it does not.
        """
        assert self._process is not None
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not await self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = self._output.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"PostgreSQL does not start:\n{words}")
            await asyncio.sleep(0.02)

    async def answers(self) -> bool:
        """Tell whether it takes connections and answers."""
        try:
            await self.execute("SELECT 1")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def stop(self, mode: str) -> None:
        """Stop the server: `fast` ends its sessions, `immediate` leaves the rest to recovery."""
        assert self._process is not None
        self._journal.write(f"postgres stop {mode}", pid=self._process.pid)
        self._process.send_signal(_MODES[mode])
        await asyncio.to_thread(self._process.wait, _PATIENCE_SECONDS)

    async def kill_backend(self) -> None:
        """Kill one session of the product as `kill -9` does: the server restarts them all."""
        pids = await self.sessions()
        if pids:
            self._journal.write("kill -9 of a backend", pid=pids[0])
            for backend in _held([pids[0]], self.pid):
                _kill(backend)

    async def terminate_backends(self) -> None:
        """End every session of the product."""
        for pid in await self.sessions():
            self._journal.write("pg_terminate_backend", pid=pid)
            await self.execute("SELECT pg_terminate_backend($1)", pid)

    async def sessions(self) -> list[int]:
        """Return the processes that serve the product's connections."""
        rows = await self.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'almenara%'"
        )
        return [row["pid"] for row in rows]

    async def execute(self, sql: str, *values: object) -> list[Any]:
        """Run one statement on a connection of its own."""
        connection = await asyncpg.connect(self.url, timeout=5)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close(timeout=5)

    def _spawned(self) -> subprocess.Popen[bytes]:
        command = [str(self._programs / "postgres"), "-D", str(self._directory)]
        command += ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1"]
        command += ["-c", "unix_socket_directories=", "-c", "shared_buffers=64MB"]
        command += ["-c", "max_wal_size=256MB"]
        with self._output.open("ab") as file:
            return subprocess.Popen(
                command,
                stdout=file,
                stderr=file,
                cwd="/",
                start_new_session=True,
                **self._as_user,
            )

    def close(self) -> None:
        """Kill the server and all its processes."""
        if self._process is None or self._process.poll() is not None:
            return
        children = _held(_children(self._process.pid), self._process.pid)
        self._process.kill()
        self._process.wait()
        for child in children:
            _kill(child)


def programs() -> Path:
    """Find PostgreSQL's programs, which Debian keeps off the path."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    candidates += sorted(Path("/usr").glob("pgsql-*/bin"), reverse=True)
    found = shutil.which("initdb")
    if found:
        candidates.insert(0, Path(found).parent)
    for candidate in candidates:
        if (candidate / "initdb").exists() and (candidate / "postgres").exists():
            return candidate
    raise CannotRun("PostgreSQL's programs (initdb, postgres) are not installed here")


def _children(pid: int) -> list[int]:
    """Return the processes that a process has started and that still live."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(one) for one in text.split()]


def _held(pids: list[int], parent: int) -> list[int]:
    """Open a file descriptor for each process that is a child of the server now.

    It means this process, and nobody who gets its number once it has ended: tests that run beside
    each other start tens of thousands of processes and threads, and Linux gives numbers out again.
    """
    held = []
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            held.append(descriptor)
            if pid not in _children(parent):
                held.remove(descriptor)
                os.close(descriptor)
    return held


def _kill(held: int) -> None:
    """Kill a process, wait until it is gone, and close what holds it."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(held, signal.SIGKILL)
    select.select([held], [], [], _PATIENCE_SECONDS)
    os.close(held)
