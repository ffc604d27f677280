"""A PostgreSQL server that cannot be used: one sentence, at the start and by `almenara check`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from almenara.check import Finding, check_set_up
from almenara.database import open_database, postgres
from almenara.errors import ConfigurationError
from almenara.sending import sending
from almenara.settings import Settings
from bench.chaos.journal import Journal
from bench.chaos.postgres import Cluster
from tests.serving import make_settings
from tests.tables import make_tables

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]

Databases = Callable[..., str]
PASSWORD = "s3cr3t-p4ss"


async def refused(settings: Settings) -> str:
    """Return why a server does not start; `check` must say the same."""
    with pytest.raises(ConfigurationError) as caught:
        async with sending(settings):
            pass
    findings = await check_set_up(settings)
    told = [one for one in findings if one.subject == "database"]
    assert told == [Finding("database", "error", caught.value.message)]
    assert PASSWORD not in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.message


def url_of(url: str, **changes: str) -> str:
    parts = urlsplit(url)
    user = changes.get("user", parts.username or "")
    host = changes.get("host", parts.hostname or "")
    port = changes.get("port", str(parts.port))
    return urlunsplit(parts._replace(netloc=f"{user}@{host}:{port}"))


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def something_else(talk: Talk) -> AsyncIterator[str]:
    """A server on a port where PostgreSQL should be; gives its port."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield str(server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


async def speaks_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


async def is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (hangs_up, "is not PostgreSQL, or hangs up; check the port"),
        (speaks_http, "is not PostgreSQL, or hangs up; check the port"),
        (is_silent, "it does not answer within 5 s; check the host"),
    ],
)
async def test_what_is_not_postgresql_is_told_from_it(
    tmp_path: Path, talk: Talk, words: str
) -> None:
    async with something_else(talk) as port:
        settings = make_settings(tmp_path, f"postgres://me:{PASSWORD}@127.0.0.1:{port}/x")
        assert words in await refused(settings)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgres://me@127.0.0.1:9/x", "nothing listens there; check that it runs, and the port"),
        ("postgres://me@no-such-host.invalid/x", "its name cannot be resolved; check the host"),
    ],
)
async def test_a_server_that_is_not_there(tmp_path: Path, url: str, words: str) -> None:
    assert words in await refused(make_settings(tmp_path, url))


async def test_a_database_that_is_not_there(tmp_path: Path, postgres_url: str) -> None:
    settings = make_settings(tmp_path, postgres_url.rpartition("/")[0] + "/no_such_database")
    assert "there is no such database; make it with CREATE DATABASE" in await refused(settings)


async def test_a_database_that_can_only_be_read(
    tmp_path: Path, postgres_database: Databases
) -> None:
    url = postgres_database()
    await _sql(url, f'ALTER DATABASE "{_name(url)}" SET default_transaction_read_only = on')
    text = await refused(make_settings(tmp_path, url))
    assert "can only be read (a standby?): name the primary" in text


async def test_a_database_whose_encoding_cannot_hold_every_text(
    tmp_path: Path, postgres_url: str
) -> None:
    name = f"latin_{secrets.token_hex(4)}"
    await _sql(
        postgres_url,
        f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    try:
        settings = make_settings(tmp_path, postgres_url.rpartition("/")[0] + f"/{name}")
        assert "is encoded as LATIN1, which cannot hold every text" in await refused(settings)
    finally:
        await _sql(postgres_url, f"DROP DATABASE {name}")


async def test_a_user_who_may_make_no_tables(tmp_path: Path, postgres_database: Databases) -> None:
    url, role = postgres_database(), f"nobody_{secrets.token_hex(4)}"
    await _sql(url, f"CREATE ROLE {role} LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    try:
        text = await refused(make_settings(tmp_path, url_of(url, user=role)))
        assert "lets this user make no tables: run there, as its owner, GRANT CREATE" in text
    finally:
        await _sql(url, f"DROP ROLE {role}")


async def test_a_server_that_is_too_old(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "OLDEST_VERSION", 990_000)
    assert "Almenara needs 99 or newer" in await refused(make_settings(tmp_path, postgres_url))


@contextmanager
def _told(settings: Settings, words: str) -> Iterator[None]:
    """Used where `check` would need the connection that is missing."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        yield
    assert PASSWORD not in caught.value.message


async def test_a_server_of_its_own_kind(open_directory: Path) -> None:
    """One server, set up badly in many ways: passwords, full, unsafe, without TLS."""
    directory = open_directory
    cluster = Cluster(
        directory / "data",
        journal=Journal(directory / "journal.jsonl"),
        output=directory / "postgres.log",
    )
    await cluster.create()
    try:
        await _sql(
            cluster.url,
            f"CREATE ROLE me LOGIN PASSWORD '{PASSWORD}'",
            "CREATE ROLE full_up LOGIN CONNECTION LIMIT 0",
            "CREATE DATABASE locked",
            "REVOKE CONNECT ON DATABASE locked FROM PUBLIC",
            "ALTER SYSTEM SET fsync = off",
            "ALTER SYSTEM SET synchronous_commit = off",
        )
        hba = directory / "data" / "pg_hba.conf"
        hba.write_text("host all me 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")
        await _sql(cluster.url, "SELECT pg_reload_conf()")
        for user, base, query, words in (
            (f"me:not-{PASSWORD}", "postgres", "", "it does not let this user in; check user"),
            ("nobody", "postgres", "", "it does not let this user in; check user and password"),
            ("full_up", "postgres", "", "it has no connection left; raise its max_connections"),
            (f"me:{PASSWORD}", "locked", "", "this user may not connect to it; GRANT CONNECT"),
            (f"me:{PASSWORD}", "postgres", "?sslmode=require", "it offers no TLS, which sslmode"),
        ):
            url = url_of(cluster.url, user=user).rpartition("/")[0] + f"/{base}{query}"
            assert words in await refused(make_settings(directory, url))
        settings = make_settings(directory, cluster.url)
        await make_tables(settings)
        unsafe = "The server runs with fsync = off: what was accepted may be lost in a power cut."
        assert Finding("database", "warning", unsafe) in await check_set_up(settings)
        database = await open_database(settings)
        async with database.transaction() as transaction:
            [row] = await transaction.fetch("SHOW synchronous_commit")
            [named] = await transaction.fetch("SHOW application_name")
        await database.close()
        assert row == {"synchronous_commit": "on"}
        assert named["application_name"].startswith("almenara ")
    finally:
        cluster.close()


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


async def _sql(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for one in statements:
            await connection.execute(one)
    finally:
        await connection.close()
