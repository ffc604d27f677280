"""The commands that open the database themselves: serve, migrate, check."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from almenara.cli.address import announce, check_address, listening
from almenara.settings import Settings, read_settings

if TYPE_CHECKING:
    import uvicorn

    from almenara.api.application import Application

#: Requests under way get so long to be answered when the server stops, in seconds.
_ANSWER_SECONDS = 5

#: Whoever waited for the server comes now, mostly with messages; the routes can wait for so long,
#: in seconds, unless somebody asks for one.
_ROUTES_AFTER_SECONDS = 0.5

#: An idle connection is kept longer than load balancers keep theirs (60 s), in seconds: who closes
#: first hangs up on the request that the other one just sends.
KEEP_ALIVE_SECONDS = 75

#: So many files and sockets a process asks to have open, where it may.
_MOST_OPEN = 8_192

#: The standard error of this process, whatever stands in for it in Python.
_STDERR = 2

Host = Annotated[str | None, typer.Option(help="The address to serve on.")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="The port; 0 takes any free one.")]
Insecure = Annotated[
    bool,
    typer.Option("--insecure", help="Serve an address that others reach, and ask for no tokens."),
]
WorkerCount = Annotated[
    int | None,
    typer.Option(
        min=1, max=64, help="How many processes share the port; more than one needs PostgreSQL."
    ),
]
Migrate = Annotated[
    bool, typer.Option("--migrate", help="Bring an older database's schema up to date before.")
]
#: What `--workers` hands to each of its processes.
Listener = Annotated[int | None, typer.Option("--listener", hidden=True)]
FiguresFile = Annotated[Path | None, typer.Option("--figures", hidden=True)]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for machines.")]


def serve(
    host: Host = None,
    port: Port = None,
    workers: WorkerCount = None,
    insecure: Insecure = False,
    upgrade: Migrate = False,
    listener: Listener = None,
    figures_file: FiguresFile = None,
) -> None:
    """Serve the API and send in the background; an empty database is made at once.

    Example: almenara serve --port 8123
    """
    settings = read_settings(host=host, port=port, workers=workers)
    import uvloop

    from almenara import figures
    from almenara.telemetry import configure, process_name

    # On PostgreSQL others may serve the same database, and their lines stand beside ours.
    name = None if settings.uses_sqlite else process_name()
    configure(settings.log_format, settings.log_level, process=name)
    # What a plugin's C code does to the process is at least named: by its file and line.
    faulthandler.enable(_STDERR)
    if figures_file is not None:
        figures.take_place(figures_file)
    if listener is not None:
        uvloop.run(_serve(settings, socket.socket(fileno=listener), worker=True))
        return
    check_address(settings, insecure=insecure)
    if settings.workers == 1:
        uvloop.run(_serve(settings, upgrade=upgrade))
        return
    from almenara.cli.workers import serve_by_workers

    code = uvloop.run(serve_by_workers(settings, upgrade=upgrade))
    if code:
        raise typer.Exit(code)


def migrate(as_json: AsJson = False) -> None:
    """Bring the database's schema up to date; the server must not run on SQLite meanwhile."""
    names = asyncio.run(_migrate(read_settings()))
    if as_json:
        typer.echo(json.dumps({"applied": names}))
    else:
        typer.echo("\n".join(f"Applied {name}." for name in names) or "The schema is current.")


def check(as_json: AsJson = False) -> None:
    """Say what is wrong with this set-up, and what to do about it, before serving.

    It looks at the plugins, the disk, the tokens, the database, the clock, the versions, the key,
    every channel and topic, the broker, and who takes traces. Ends with 1 when it found an error,
    not for warnings.
    """
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


async def _serve(
    settings: Settings,
    inherited: socket.socket | None = None,
    *,
    worker: bool = False,
    upgrade: bool = False,
) -> None:
    """Serve until a signal; then answer what is under way, drain, and end.

    Args:
        inherited: the socket to listen on, instead of one of its own.
        worker: also end, in the same way, when the process that started it is gone.
        upgrade: bring an older schema up to date instead of refusing it.
    """
    import uvicorn

    from almenara.api.connection import Connection
    from almenara.app import build, running
    from almenara.garbage import settle_down
    from almenara.telemetry import get_logger

    async with running(settings, upgrade=upgrade) as parts:
        app = build(settings)
        app.state.parts = parts
        with inherited or listening(settings) as listener:
            Connection.most_connections = _room_for_connections()
            config = uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_ANSWER_SECONDS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
            )
            if not worker:
                announce(settings, listener.getsockname()[1])
            settle_down()
            asyncio.get_running_loop().call_later(_ROUTES_AFTER_SECONDS, _load_routes, app)
            await _server(config, worker=worker, stopping=parts.stream.end).serve(
                sockets=[listener]
            )
        get_logger("app").info("stopping")


def _load_routes(app: Application) -> None:
    """Load what is not loaded yet; then nothing more is, which the garbage collector shall know."""
    from almenara.garbage import settle_down

    app.load().add_done_callback(lambda _: settle_down())


def _room_for_connections() -> int:
    """Say how many connections of clients there may be; half of what the process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_OPEN if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted) // 2


async def _tick(server: uvicorn.Server, ending: asyncio.Event) -> None:
    """Let a server do what it does every second, until it is to end.

    uvicorn's own loop wakes ten times as often to see whether it is: a fifth of what a server uses
    that has nothing to do.
    """
    while not await server.on_tick(0):
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await ending.wait()


def _server(
    config: uvicorn.Config, *, worker: bool, stopping: Callable[[], None]
) -> uvicorn.Server:
    """Make a server that leaves signals to us; uvicorn would die of its own before the drain.

    Args:
        stopping: ends the answers that have no end of their own.
    """
    import contextlib
    from collections.abc import Iterator

    import uvicorn

    ending = asyncio.Event()

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop)
            if worker:
                # Its other end is the parent's, and is closed when that dies, however it does.
                loop.add_reader(sys.stdin.fileno(), self.end_alone)
            yield

        async def main_loop(self) -> None:
            await _tick(self, ending)
            stopping()

        def stop(self) -> None:
            if self.should_exit:
                # Asked twice: at once. What is under way is found again at the next start.
                os._exit(1)
            self.should_exit = True
            ending.set()

        def end_alone(self) -> None:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self.should_exit = True
            ending.set()

    return Server(config)


async def _migrate(settings: Settings) -> list[str]:
    from almenara.migrations import migrate as apply_migrations
    from almenara.sending import opened

    async with opened(settings) as database:
        return await apply_migrations(database)
