"""The commands that open the database themselves: serve, migrate, check."""

from __future__ import annotations

import asyncio
import faulthandler
import ipaddress
import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from almenara.errors import ConfigurationError
from almenara.settings import Settings, read_settings

if TYPE_CHECKING:
    import uvicorn

#: Requests under way get so long to be answered when the server stops, in seconds.
_ANSWER_SECONDS = 5

#: The standard error of this process, whatever stands in for it in Python.
_STDERR = 2

Host = Annotated[str | None, typer.Option(help="The address to serve on.")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="The port; 0 takes any free one.")]
Insecure = Annotated[
    bool,
    typer.Option("--insecure", help="Serve on an address that others reach, without tokens."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for machines.")]


def serve(host: Host = None, port: Port = None, insecure: Insecure = False) -> None:
    """Serve the API and send in the background; an empty database is made at once.

    Example: almenara serve --port 8123
    """
    settings = read_settings(host=host, port=port)
    _check_address(settings.host, insecure=insecure)
    import uvloop

    from almenara.telemetry import configure

    configure(settings.log_format, settings.log_level)
    # What a plugin's C code does to the process is at least named: by its file and line.
    faulthandler.enable(_STDERR)
    uvloop.run(_serve(settings))


def migrate(as_json: AsJson = False) -> None:
    """Bring the database's schema up to date; the server must not run on SQLite meanwhile."""
    names = asyncio.run(_migrate(read_settings()))
    if as_json:
        typer.echo(json.dumps({"applied": names}))
    else:
        typer.echo("\n".join(f"Applied {name}." for name in names) or "The schema is current.")


def check(as_json: AsJson = False) -> None:
    """Say what is wrong with this set-up, before serving."""
    from almenara.check import check_set_up

    findings = asyncio.run(check_set_up(read_settings()))
    if as_json:
        rows = [
            {"subject": one.subject, "level": one.level, "message": one.message} for one in findings
        ]
        typer.echo(json.dumps({"data": rows}))
    else:
        signs = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}
        for one in findings:
            typer.echo(f"{signs[one.level]}  {one.subject}: {one.message}")
    if any(one.level == "error" for one in findings):
        raise typer.Exit(1)


async def _serve(settings: Settings) -> None:
    """Serve until a signal; then answer what is under way, drain, and end."""
    import uvicorn

    from almenara.app import build, running
    from almenara.telemetry import get_logger

    async with running(settings) as parts:
        app = build(settings)
        app.state.parts = parts
        with _listening(settings) as listener:
            config = uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_ANSWER_SECONDS,
            )
            _announce(settings, listener.getsockname()[1])
            await _server(config).serve(sockets=[listener])
        get_logger("app").info("stopping")


def _server(config: uvicorn.Config) -> uvicorn.Server:
    """Make a server that leaves signals to us: uvicorn would die of its own before the drain."""
    import contextlib
    from collections.abc import Iterator

    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop)
            yield

        def stop(self) -> None:
            if self.should_exit:
                # Asked twice: at once. What is under way is found again at the next start.
                os._exit(1)
            self.should_exit = True

    return Server(config)


def _listening(settings: Settings) -> socket.socket:
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


def _announce(settings: Settings, port: int) -> None:
    """Say where it serves."""
    from almenara.telemetry import get_logger

    log = get_logger("app")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    log.info("serving", url=f"http://{host}:{port}", docs=f"http://{host}:{port}/docs")
    if not is_loopback(settings.host):
        log.warning(
            "insecure",
            reason="anyone who reaches this address can send and read messages: no tokens are "
            "asked for",
        )


async def _migrate(settings: Settings) -> list[str]:
    from almenara.app import opened
    from almenara.migrations import migrate as apply_migrations

    async with opened(settings) as database:
        return await apply_migrations(database)


def _check_address(host: str, *, insecure: bool) -> None:
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
