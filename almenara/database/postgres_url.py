"""Reading the URL of a PostgreSQL database; nothing of a wrong one is ever repeated.

A password with a ``/``, ``?`` or ``#`` in it makes a URL whose port, name or parameters are pieces
of the password, so no error here says what it found.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from almenara.errors import ConfigurationError

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def read_postgres_url(text: str) -> dict[str, Any]:
    """Return where the database is and how to log in there, as asyncpg names it.

    Raises:
        ConfigurationError: it is not a URL, names no database, or has a parameter but ``sslmode``.
    """
    try:
        url = urlsplit(text)
        port = url.port or 5432
    except ValueError:
        url, port = SplitResult("", "", "", "", ""), 0
    name = unquote(url.path.removeprefix("/"))
    if not port or "/" in name or "@" in name:
        raise ConfigurationError(
            "ALMENARA_DATABASE_URL is not a URL such as postgres://user:password@host:5432/name; "
            "in the password, write / as %2F, ? as %3F, # as %23."
        )
    if not name:
        raise ConfigurationError(
            "ALMENARA_DATABASE_URL names no database: postgres://user:password@host:5432/name."
        )
    return {
        "host": url.hostname or "localhost",
        "port": port,
        "user": unquote(url.username or "") or None,
        "password": unquote(url.password) if url.password else None,
        "database": name,
    } | _parameters(url.query)


def _parameters(query: str) -> dict[str, str]:
    """Read what stands behind the question mark; what is not known is refused, never ignored."""
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    mode = parameters.pop("sslmode", None)
    if parameters or (mode is not None and mode not in _SSL_MODES):
        raise ConfigurationError(
            "ALMENARA_DATABASE_URL may have one parameter, sslmode, which is one of "
            f"{', '.join(_SSL_MODES)}; in the password, write ? as %3F."
        )
    return {} if mode is None else {"ssl": mode}
