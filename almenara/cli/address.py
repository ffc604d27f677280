"""Where the server listens, and who reaches it there."""

from __future__ import annotations

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
    if not settings.asks_for_tokens and settings.on_loopback:
        log.info("open", reason="no tokens are asked for; only this machine reaches it")
    elif not settings.asks_for_tokens:
        log.warning(
            "insecure",
            reason="anyone who reaches this address can send and read messages: no tokens are "
            "asked for",
        )
    log.info("serving", url=url, docs=f"{url}/docs", workers=settings.workers)


def check_address(settings: Settings, *, insecure: bool) -> None:
    """Refuse to serve others without tokens, unless told to.

    Raises:
        ConfigurationError: others reach this address.
    """
    if not (insecure or settings.on_loopback or settings.asks_for_tokens):
        raise ConfigurationError(
            f"Without authentication, {settings.host} is not served: anyone who reaches it could "
            "send and read messages. Say who issues tokens (ALMENARA_JWT_ISSUER and a key), serve "
            "127.0.0.1, or add --insecure if something in front of it asks for tokens."
        )
