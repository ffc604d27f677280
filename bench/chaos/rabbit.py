"""A private RabbitMQ node on ports of its own, which may be killed, silenced and emptied."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from bench.chaos.journal import Journal
from bench.chaos.product import clean_environment, free_port
from bench.chaos.scenario import CannotRun
from bench.processes import wait_unreaped

_PLACES = (Path("/usr/lib/rabbitmq/bin"), Path("/opt/rabbitmq/sbin"))
_PATIENCE_SECONDS = 60
_CONTROL_SECONDS = 30


class Broker:
    """One RabbitMQ node and its data; nothing else on this machine knows it.

    Args:
        directory: where its data lie.

    Raises:
        CannotRun: RabbitMQ's programs are not installed.
    """

    def __init__(self, directory: Path, *, journal: Journal, output: Path) -> None:
        self._programs = programs()
        self._directory = directory
        self._journal = journal
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._environ = clean_environment() | {
            # Erlang's cookie lies there, and its port mapper is this node's alone.
            "HOME": str(directory),
            "ERL_EPMD_PORT": str(free_port()),
            "RABBITMQ_NODENAME": f"chaos{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOG_BASE": str(directory),
            "RABBITMQ_LOGS": str(directory / "rabbit.log"),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbit"),
            "RABBITMQ_SCHEMA_DIR": str(directory / "schema"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(directory / "generated"),
        }

    async def start(self) -> None:
        """Start it, and wait until it takes connections.

        Raises:
            RuntimeError: it does not.
        """
        self._process = self._spawned()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = self._output.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"RabbitMQ does not start:\n{words}")
            await asyncio.sleep(0.1)
        self._journal.write("rabbitmq start", pid=self._process.pid)

    async def stop(self) -> None:
        """Stop it in good order."""
        self._journal.write("rabbitmq stop")
        await self.control("stop")
        await self._gone()

    async def kill(self) -> None:
        """Kill it at once, as `kill -9` does."""
        self._journal.write("rabbitmq kill -9")
        self._signal(signal.SIGKILL)
        await self._gone()

    async def lose_data(self) -> None:
        """Kill it and delete all that it had on its disk."""
        await self.kill()
        await asyncio.to_thread(shutil.rmtree, self._directory / "data")

    async def control(self, *arguments: str) -> None:
        """Give it an order.

        Raises:
            RuntimeError: it refuses.
        """
        done = await asyncio.to_thread(
            subprocess.run,
            [str(self._programs / "rabbitmqctl"), "--quiet", *arguments],
            env=self._environ,
            capture_output=True,
            timeout=_CONTROL_SECONDS,
            check=False,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {arguments[0]}: {done.stderr or done.stdout}")

    def close(self) -> None:
        """Kill it, and what belongs to it."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
        # Its port mapper outlives it, in a session of its own.
        epmd = next(iter(sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))), None)
        subprocess.run(
            [str(epmd or shutil.which("epmd") or "epmd"), "-kill"],
            env=self._environ,
            capture_output=True,
            check=False,
        )

    def _spawned(self) -> subprocess.Popen[bytes]:
        self._directory.mkdir(exist_ok=True)
        with self._output.open("ab") as file:
            return subprocess.Popen(
                [str(self._programs / "rabbitmq-server")],
                env=self._environ,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    async def _gone(self) -> None:
        assert self._process is not None
        await asyncio.to_thread(wait_unreaped, self._process, _PATIENCE_SECONDS)
        # Erlang's machine is a child of the script that was started.
        if self._process.returncode is None:
            self._signal(signal.SIGKILL)
        await asyncio.to_thread(self._process.wait, _PATIENCE_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                # It answers eight bytes that are no greeting with its own.
                connection.settimeout(2)
                connection.sendall(b"AMQP\x00\x00\x00\x00")
                return connection.recv(4) == b"AMQP"
        except OSError:
            return False


def programs() -> Path:
    """Find RabbitMQ's own programs, behind Debian's, which want to be another user."""
    for place in _PLACES:
        if (place / "rabbitmq-server").exists():
            return place
    raise CannotRun("RabbitMQ's programs are not installed")
