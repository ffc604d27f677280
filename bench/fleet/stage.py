"""What every measurement needs: databases, a broker, the receiver, the product's processes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from bench.chaos.journal import Journal
from bench.fleet.broker import virtual_host
from bench.fleet.postgres import DefaultCluster
from bench.fleet.programs import events, get, program, served
from bench.fleet.rows import Rows
from bench.processes import put

#: Everything here is made for the measurement, and protects nothing.
_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SERVE = ("-m", "almenara", "serve", "--port", "0")
#: The channel that Almenara sends through.
CHANNEL = "bench"


@dataclass(frozen=True)
class Receiver:
    """The receiver of one measurement."""

    url: str
    pid: int

    @property
    def count(self) -> int:
        """How many POSTs it has taken."""
        return int(get(self.url)["count"])


@dataclass(frozen=True)
class Place:
    """A database of one measurement, with the product's tables in it."""

    directory: Path
    url: str
    rows: Rows
    environ: Mapping[str, str] = field(repr=False)


class Stage:
    """Makes what is needed, and takes it away at the end."""

    def __init__(self, directory: Path, *, broker_url: str, own_broker_url: str | None) -> None:
        """Start the servers.

        Args:
            broker_url: a server on this machine, where a virtual host is made.
            own_broker_url: a virtual host that nobody else uses, instead of that.
        """
        self.directory = directory
        self._exits = ExitStack()
        self._number = 0
        try:
            self.broker_url = own_broker_url or self._exits.enter_context(virtual_host(broker_url))
            self._cluster = DefaultCluster(
                directory / "postgres",
                journal=Journal(directory / "journal.jsonl"),
                output=directory / "postgres.log",
            )
            self._exits.callback(self._cluster.close)
            asyncio.run(self._cluster.create())
        except BaseException:
            self.close()
            raise

    def last_words(self) -> str:
        """Return the end of what the database has written."""
        return (self.directory / "postgres.log").read_text(errors="replace")[-4_000:]

    @property
    def postgres_pid(self) -> int:
        """The process whose children are PostgreSQL's."""
        return self._cluster.pid

    def close(self) -> None:
        """End the servers, and remove what was made on them."""
        self._exits.close()

    @contextmanager
    def place(self, receiver: Receiver, **channel: Any) -> Iterator[Place]:
        """Make a database with the product's tables and a webhook channel to the receiver."""
        self._number += 1
        name = f"bench_{self._number}_{secrets.token_hex(2)}"
        directory = self.directory / name
        directory.mkdir()
        url = urlunsplit(urlsplit(self._cluster.url)._replace(path=f"/{name}"))
        environ = {
            "ALMENARA_DATABASE_URL": url,
            "ALMENARA_SECRET_KEY": _KEY,
            "ALMENARA_DATA_DIR": str(directory / "data"),
            "ALMENARA_PLUGINS_DIR": str(directory / "plugins"),
            "ALMENARA_EGRESS_ALLOW": "127.0.0.0/8",
            "ALMENARA_LOG_FORMAT": "json",
        }
        with psycopg.connect(self._cluster.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
            try:
                with served(SERVE, output=directory / "setup.log", environ=environ) as (api, _):
                    body = {"plugin": "Webhook", "settings": {"url": f"{receiver.url}/hook"}}
                    put(f"{api}/v1/channels/{CHANNEL}", body | channel)
                rows = Rows(url)
                try:
                    yield Place(directory, url, rows, environ)
                finally:
                    rows.close()
            finally:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    @contextmanager
    def receiver(self, delay_seconds: float = 0.0) -> Iterator[Receiver]:
        """Run a receiver."""
        arguments = ("-m", "bench.fleet.receiver", str(delay_seconds))
        self._number += 1
        output = self.directory / f"receiver-{self._number}.log"
        with served(arguments, output=output) as (url, pid):
            yield Receiver(url, pid)

    @contextmanager
    def worker(self, place: Place, *, processes: int, sends: int) -> Iterator[int]:
        """Run `almenara worker`, and give its process id once each of its processes is ready."""
        arguments = ["-m", "almenara", "worker"]
        arguments += ["--sends", str(sends), "--processes", str(processes)]
        output = place.directory / "worker.log"
        environ = dict(place.environ) | {"ALMENARA_BROKER_URL": self.broker_url}
        with program(arguments, output=output, environ=environ) as process:
            events(process, output, "ready", processes)
            yield process.pid
