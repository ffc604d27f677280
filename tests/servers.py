"""The servers that tests talk to: where they are, whether they answer, a database for each run.

Only databases that this run made are ever changed or dropped.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

#: Seconds that a server has for its first answer.
PATIENCE_SECONDS = 3.0

_MIGRATE = """
import asyncio, sys
from almenara.database import open_database
from almenara.migrations import migrate
from almenara.settings import read_settings

async def main():
    database = await open_database(read_settings({}, database_url=sys.argv[1]))
    try:
        await migrate(database)
    finally:
        await database.close()

asyncio.run(main())
"""


@dataclass(frozen=True)
class Server:
    """One kind of server, and how to ask it for a sign of life."""

    #: The pytest marker of the tests that need it.
    marker: str
    name: str
    variable: str
    default_url: str
    answers: Callable[[str], bool]

    @property
    def url(self) -> str:
        """Where it is expected."""
        return os.environ.get(self.variable) or self.default_url

    @property
    def address(self) -> str:
        """Host and port, without the password."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}"

    @property
    def absence(self) -> str:
        """What is said when it is missing."""
        return f"{self.name} does not answer at {self.address}"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return f"Start it with `make up`, or set {self.variable}."


class Program(Server):
    """A program of this machine, which tests start themselves; its URL is its path."""

    @property
    def absence(self) -> str:
        """What is said when it is missing."""
        return f"{self.name} is not at {self.url}"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return f"Install it (`apt-get install chromium`), or set {self.variable}."


def _postgres_answers(url: str) -> bool:
    async def ask() -> None:
        connection = await asyncpg.connect(url, timeout=PATIENCE_SECONDS)
        await connection.close()

    try:
        _in_own_loop(ask)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    return True


def _port_answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname, parts.port or 5672), PATIENCE_SECONDS):
            return True
    except OSError:
        return False


POSTGRES = Server(
    marker="postgres",
    name="PostgreSQL",
    variable="ALMENARA_TEST_DATABASE_URL",
    default_url="postgres://root@127.0.0.1:5432/test",
    answers=_postgres_answers,
)
RABBITMQ = Server(
    marker="rabbitmq",
    name="RabbitMQ",
    variable="ALMENARA_TEST_BROKER_URL",
    default_url="amqp://guest:guest@127.0.0.1:5672//",
    answers=_port_answers,
)
CHROMIUM = Program(
    marker="chromium",
    name="Chromium",
    variable="ALMENARA_TEST_CHROMIUM",
    default_url="/usr/bin/chromium",
    answers=lambda path: os.access(path, os.X_OK),
)
SERVERS = (POSTGRES, RABBITMQ, CHROMIUM)


@cache
def is_up(server: Server) -> bool:
    """Tell whether the server answers; asked once in a run."""
    return server.answers(server.url)


def servers_are_required() -> bool:
    """Tell whether an absent server is a failure (in CI) instead of a reason to skip."""
    return any(
        os.environ.get(name, "").lower() not in {"", "0", "false"}
        for name in ("CI", "ALMENARA_TEST_REQUIRE_SERVICES")
    )


class PostgresDatabases:
    """Makes databases with one random prefix, and drops those and no others."""

    def __init__(self, maintenance_url: str) -> None:
        self._maintenance_url = maintenance_url
        self._prefix = f"almenara_test_{secrets.token_hex(4)}"
        self._made: list[str] = []
        self._template: str | None = None

    def make(self, *, migrated: bool = False) -> str:
        """Make a database and return its URL; ``migrated`` ones have the schema, and no rows."""
        if not migrated:
            return self._create("template0")
        if self._template is None:
            url = self._create("template0")
            subprocess.run([sys.executable, "-c", _MIGRATE, url], check=True, timeout=60)
            self._template = urlsplit(url).path.lstrip("/")
        return self._create(self._template)

    def drop(self, url: str) -> None:
        """Drop one database that was made here, whoever is still connected to it."""
        name = urlsplit(url).path.lstrip("/")
        self._made.remove(name)
        self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def drop_all(self) -> None:
        """Drop every database that was made here."""
        for name in list(self._made):
            self.drop(self._url(name))

    def _create(self, template: str) -> str:
        name = f"{self._prefix}_{secrets.token_hex(3)}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        self._made.append(name)
        return self._url(name)

    def _url(self, name: str) -> str:
        return urlunsplit(urlsplit(self._maintenance_url)._replace(path=f"/{name}"))

    def _execute(self, statement: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(self._maintenance_url, timeout=10)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        _in_own_loop(run)


@contextmanager
def postgres_databases() -> Iterator[PostgresDatabases]:
    """Hand out a maker of databases; everything that it made is gone afterwards."""
    databases = PostgresDatabases(POSTGRES.url)
    try:
        yield databases
    finally:
        databases.drop_all()


def _in_own_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine function beside whatever loop this thread has, leaving nothing behind."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work()).result()
