"""Reads what a plugin wants to send: the URL and the headers, checked before anything happens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ssl import SSLContext
from typing import NamedTuple

from pydantic import SecretStr
from yarl import URL

from almenara.egress.addresses import AddressRefusedError, Network, check_host
from almenara.errors import PermanentError

#: Headers that the client itself must govern: they frame the request or belong to the connection.
_OWN_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: So many URLs are kept as they were read: a channel's is the same each time.
_URLS = 1024
_HEADER_NAMES = 256
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Place(NamedTuple):
    """What one connects to."""

    secure: bool
    host: str
    port: int
    #: What TLS needs there beyond the usual; a connection serves only those who present the same.
    tls: SSLContext | None = None


@dataclass(frozen=True)
class Target:
    """Where a request goes."""

    place: Place
    #: Scheme, host and port: all of the URL that an error may name.
    origin: str
    #: What follows the method in a request: the path, the query and the host; a secret.
    head: str = field(repr=False)


def read_target(url: str | SecretStr, allow: tuple[Network, ...]) -> Target:
    """Read a URL and judge what can be judged before its name is looked up.

    Raises:
        PermanentError: it cannot be used, or it names an address that is not permitted.
    """
    return _read_target(reveal(url), allow)


@lru_cache(maxsize=_URLS)
def _read_target(url: str, allow: tuple[Network, ...]) -> Target:
    parsed = _parse(url.strip())
    if parsed is None:
        raise PermanentError("The URL cannot be used: write it as https://host/path.")
    if parsed.raw_user is not None or parsed.raw_password is not None:
        raise PermanentError("The URL holds a user name or a password: put it into a header.")
    origin = f"{parsed.scheme}://{parsed.host_subcomponent}:{parsed.port}"
    try:
        check_host(parsed.raw_host or "", allow)
    except AddressRefusedError as error:
        raise refused(origin, error) from error
    except ValueError as error:
        raise PermanentError(
            "The host of the URL is not valid: write a name, or an address in its usual form "
            "such as 192.0.2.1 or [2001:db8::1]."
        ) from error
    return Target(
        place=Place(parsed.scheme == "https", parsed.raw_host or "", parsed.port or 0),
        origin=origin,
        head=f"{parsed.raw_path_qs} HTTP/1.1\r\nHost: {parsed.host_port_subcomponent}\r\n",
    )


def refused(origin: str, error: AddressRefusedError) -> PermanentError:
    """Return the error for a connection that the guard did not let happen."""
    return PermanentError(f"No connection to {origin} was made: {error}.")


def write_headers(
    headers: Mapping[str, str | SecretStr] | None, defaults: Mapping[str, str]
) -> str:
    """Return the lines of the headers: the plugin's, and the defaults that it did not give.

    Raises:
        PermanentError: a header could break out of its line, or is the client's own affair.
    """
    lines: dict[str, str] = {name.lower(): f"{name}: {text}" for name, text in defaults.items()}
    for name, value in (headers or {}).items():
        text = reveal(value)
        lines[_check_name(name)] = f"{name}: {text}"
        if _CONTROL_BUT_TAB.search(text) or not _is_encodable(text):
            raise PermanentError(
                f"The value of the header {name} holds a character that cannot be sent."
            )
    return "\r\n".join(lines.values())


def check_method(method: str) -> str:
    """Return the method in upper case.

    Raises:
        PermanentError: it is none.
    """
    if not (method.isascii() and method.isalpha()):
        raise PermanentError("The HTTP method is not valid: a word such as POST.")
    return method.upper()


@lru_cache(maxsize=_HEADER_NAMES)
def _check_name(name: str) -> str:
    """Return the name of a header in lower case."""
    if not _HEADER_NAME.fullmatch(name):
        raise PermanentError("The name of a header is not valid: letters, digits and `-`.")
    if name.lower() in _OWN_HEADERS:
        raise PermanentError(f"The header {name} cannot be set: the HTTP client governs it.")
    return name.lower()


def reveal(value: str | SecretStr) -> str:
    """Return the text of what may be a secret."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _parse(text: str) -> URL | None:
    """Return the URL, or ``None`` when it is none.

    The reason is not handed on: the parser's own words quote the URL.
    """
    if _CONTROL.search(text):
        return None
    try:
        url = URL(text)
    except ValueError:
        return None
    usable = url.scheme in {"http", "https"} and bool(url.raw_host) and bool(url.port)
    return url if usable else None


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
