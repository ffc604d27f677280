"""PostgreSQL: how its connections are made, and in one sentence why they cannot be used."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Mapping
from functools import cache
from typing import Any

from almenara.database.faults import causes
from almenara.database.postgres_url import read_postgres_url
from almenara.errors import ConfigurationError
from almenara.settings import Settings
from almenara.telemetry import process_name

#: The oldest that is known to have everything; PostgreSQL's own support for it has ended too.
OLDEST_VERSION = 130_000

SERVER_SETTINGS = {
    # A process that is frozen inside a transaction keeps its locks no longer than this.
    "idle_in_transaction_session_timeout": "10000",
    # Compiling a statement takes longer than a thousand of ours take.
    "jit": "off",
    # The server drops a connection whose other end is gone, instead of keeping its locks.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "timezone": "UTC",
}
#: A connection must be made in so many seconds, and a statement must be answered.
_CONNECT_SECONDS = 5
STATEMENT_SECONDS = 30

#: One row: what :func:`refusal` and :func:`warnings_of` look at.
FACTS = """
SELECT current_setting('server_version_num')::integer AS version,
    current_setting('server_version') AS version_text,
    current_setting('server_encoding') AS encoding,
    pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS read_only,
    current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
    to_regclass('message') IS NOT NULL OR has_schema_privilege(current_schema(), 'CREATE') AS may
"""


def address_of(settings: Settings) -> dict[str, Any]:
    """Return where the database is and how to log in there, as asyncpg names it."""
    assert settings.database_url is not None  # noqa: S101 - the caller asked uses_sqlite
    url = settings.database_url.get_secret_value()
    return read_postgres_url(url) | {
        "timeout": _CONNECT_SECONDS,
        "command_timeout": STATEMENT_SECONDS,
    }


def pools(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return Tortoise's credentials for the pool that writes and the one that reads."""
    credentials = address_of(settings) | {
        "application_name": f"almenara {process_name()}",
        "server_settings": SERVER_SETTINGS,
        "minsize": 1,
    }
    # The ledger writes on one; units of work that run beside it, such as a copy, have the others.
    writing = max(1, settings.database_connections // 3)
    reading = settings.database_connections - writing
    return credentials | {"maxsize": writing}, credentials | {"maxsize": reading}


def refusal(facts: Mapping[str, Any], settings: Settings) -> str | None:
    """Say why a server that answers cannot be used, and what to do; ``None``: it can."""
    where = place(settings)
    if facts["version"] < OLDEST_VERSION:
        return (
            f"{where} is PostgreSQL {facts['version_text']}; Almenara needs "
            f"{OLDEST_VERSION // 10_000} or newer."
        )
    if facts["encoding"] != "UTF8":
        return (
            f"{where} is encoded as {facts['encoding']}, which cannot hold every text: make one "
            "with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0."
        )
    if facts["read_only"]:
        return f"{where} can only be read (a standby?): name the primary in ALMENARA_DATABASE_URL."
    if not facts["may"]:
        return (
            f"{where} lets this user make no tables: run there, as its owner, "
            "GRANT CREATE, USAGE ON SCHEMA public TO that user."
        )
    return None


def warnings_of(facts: Mapping[str, Any]) -> list[str]:
    """Say what of a server's set-up breaks the promise of a 202."""
    return [
        f"The server runs with {name} = off: what was accepted may be lost in a power cut."
        for name in ("fsync", "full_page_writes")
        if facts[name] != "on"
    ]


async def prepare(connection: Any) -> None:
    """Let a new connection commit for good, where the server's own default is not to."""
    await connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    )


def place(settings: Settings) -> str:
    """Name the database, without what stands in its URL to log in."""
    address = address_of(settings)
    return f"The PostgreSQL database {address['host']}:{address['port']}/{address['database']}"


def unreachable(settings: Settings, error: BaseException) -> str:
    """Say why no connection was made, and what to do."""
    insists = address_of(settings).get("ssl", "prefer") in _INSISTING_MODES
    return f"{place(settings)} cannot be reached: {_reason(error, insists=insists)}."


_URL = "in ALMENARA_DATABASE_URL"
_NOT_POSTGRES = f"what answers there is not PostgreSQL, or hangs up; check the port {_URL}"
_INSISTING_MODES = frozenset({"require", "verify-ca", "verify-full"})


@cache
def _reasons() -> tuple[tuple[tuple[type[BaseException], ...], str], ...]:
    """Return the sentence for each kind of error: the first that fits, the more special before."""
    import asyncpg

    return (
        (
            (asyncpg.InvalidAuthorizationSpecificationError,),
            (
                f"it does not let this user in; check user and password {_URL} (in a password, "
                "write / as %2F, ? as %3F, # as %23), and the server's pg_hba.conf"
            ),
        ),
        (
            (asyncpg.InvalidCatalogNameError,),
            f"there is no such database; make it with CREATE DATABASE, or correct its name {_URL}",
        ),
        (
            (asyncpg.InsufficientPrivilegeError,),
            "this user may not connect to it; GRANT CONNECT ON DATABASE to it",
        ),
        (
            (asyncpg.TooManyConnectionsError,),
            (
                "it has no connection left; raise its max_connections, or lower "
                "ALMENARA_DATABASE_CONNECTIONS of each process"
            ),
        ),
        ((asyncpg.CannotConnectNowError,), "it is starting or stopping; try again in a moment"),
        ((socket.gaierror,), f"its name cannot be resolved; check the host {_URL}"),
        (
            (ssl.SSLCertVerificationError,),
            f"its certificate is not to be trusted for that name; see sslmode {_URL}",
        ),
        (
            (TimeoutError,),
            (
                f"it does not answer within {_CONNECT_SECONDS} s; check the host {_URL}, and the "
                "firewall"
            ),
        ),
        (
            (ConnectionRefusedError,),
            f"nothing listens there; check that it runs, and the port {_URL}",
        ),
        (
            (
                *(asyncpg.ConnectionDoesNotExistError, asyncpg.InternalClientError),
                *(asyncpg.ProtocolViolationError, struct.error),
            ),
            _NOT_POSTGRES,
        ),
    )


def _reason(error: BaseException, *, insists: bool) -> str:
    found = list(causes(error))
    for kinds, reason in _reasons():
        if any(isinstance(one, kinds) for one in found):
            return reason
    if isinstance(error, ConnectionError):
        # It did not understand the question for TLS, or answered with something else.
        return f"it offers no TLS, which sslmode {_URL} demands" if insists else _NOT_POSTGRES
    # The driver's own words may hold the password; its class does not.
    return f"{type(error).__name__}; check ALMENARA_DATABASE_URL, and that it runs"


def refuse(reason: str | None) -> None:
    """Raise a reason, if there is one."""
    if reason is not None:
        raise ConfigurationError(reason)
