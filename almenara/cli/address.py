"""Where the server listens, and who reaches it there."""

from __future__ import annotations

import ipaddress
import socket

from almenara.errors import ConfigurationError
from almenara.settings import Settings


def listening(settings: Settings) -> socket.socket:
    """Open the listening socket.

    Raises:
        ConfigurationError: the address is taken, or is not this machine's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"{settings.host}:{settings.port} cannot be served: {error.strerror or error}. "
            "Choose another port with --port, or stop what has it."
        ) from error


def announce(settings: Settings, port: int) -> None:
    """Say where it serves."""
    from almenara.telemetry import get_logger

    log = get_logger("app")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{port}"
    log.info("serving", url=url, docs=f"{url}/docs", workers=settings.workers)
    if not is_loopback(settings.host):
        log.warning(
            "insecure",
            reason="anyone who reaches this address can send and read messages: no tokens are "
            "asked for",
        )


def check_address(host: str, *, insecure: bool) -> None:
    """Refuse to serve others without tokens, unless told to.

    Raises:
        ConfigurationError: others reach this address.
    """
    if not insecure and not is_loopback(host):
        raise ConfigurationError(
            f"Without authentication, {host} is not served: anyone who reaches it could send and "
            "read messages. Serve 127.0.0.1, or add --insecure if something in front of it asks "
            "for tokens."
        )


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
