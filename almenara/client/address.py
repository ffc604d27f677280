"""Where the server is and what is shown to it: the address and the token, read and kept apart."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from almenara import __version__
from almenara.errors import ConfigurationError

DEFAULT_URL = "http://127.0.0.1:8000"

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """A server, and what every request to it says of itself; the token is in no text."""

    #: As it is shown in errors: without a slash at its end.
    url: str
    host: str
    port: int
    secure: bool
    #: The path that the server is mounted at, quoted; often empty.
    prefix: str
    headers: dict[str, str] = field(repr=False)


def read_address(url: str | None, token: str | None) -> Address:
    """Read where the server is; what is not given comes from the environment.

    Args:
        url: such as ``https://almenara.example.org``; else ``ALMENARA_URL``, else this machine.
        token: a bearer token; else ``ALMENARA_TOKEN``; an empty one is none.

    Raises:
        ConfigurationError: the address or the token cannot be used.
    """
    url = (url or os.environ.get("ALMENARA_URL") or DEFAULT_URL).rstrip("/")
    token = os.environ.get("ALMENARA_TOKEN") if token is None else token
    scheme, host, port, prefix = _read_url(url)
    try:
        name = _host_header(host, port, _PORTS[scheme])
    except UnicodeError as error:
        raise ConfigurationError("ALMENARA_URL names a host that cannot be one.") from error
    headers = {
        "Host": name,
        "Accept": "application/json",
        "User-Agent": f"almenara/{__version__}",
    }
    if token:
        headers["Authorization"] = f"Bearer {_read_token(token)}"
    return Address(url, host, port, scheme == "https", prefix, headers)


def path_to(*parts: str) -> str:
    """Return the path of a thing in the API, each part quoted."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def _read_url(url: str) -> tuple[str, str, int, str]:
    """Split an address into scheme, host, port and path; its text is in no error."""
    example = "write it as http://127.0.0.1:8000"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"ALMENARA_URL is not an address: {example}.") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ConfigurationError(f"ALMENARA_URL is not an address: {example}.")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            f"ALMENARA_URL holds more than an address: {example}; a token goes into ALMENARA_TOKEN."
        )
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme], quote(parts.path)


def _host_header(host: str, port: int, usual: int) -> str:
    name = f"[{host}]" if ":" in host else host
    try:
        name.encode("ascii")
    except UnicodeError:
        name = name.encode("idna").decode()
    return name if port == usual else f"{name}:{port}"


def _read_token(token: str) -> str:
    """Return the token without the spaces around it, if a header can carry it."""
    token = token.strip()
    if not token.isascii() or not token.isprintable():
        raise ConfigurationError("ALMENARA_TOKEN holds characters that no token has.")
    return token
