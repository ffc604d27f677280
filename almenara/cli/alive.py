"""The command that health checks run: is what runs here alive?"""

from __future__ import annotations

import os
from http import HTTPStatus

import typer

from almenara.settings import PREFIX, Settings

#: The server must answer within so many seconds.
_ANSWER_SECONDS = 4.0


def alive() -> None:
    """Say whether what runs on this machine is alive: its workers, or else its server.

    For the health checks of containers. A worker process says every five seconds that its event
    loop turns; one that was silent for a minute hangs. Where no worker runs, the server is asked,
    at `ALMENARA_PORT` on 127.0.0.1. A database or a broker that is away is no reason to start
    anything anew, so it is not looked for: `/readyz` tells of it.
    """
    from almenara.heartbeat import feel

    pulses = feel()
    for pulse in pulses:
        state = "hangs: it beat last" if pulse.hangs else "is alive: it beat"
        typer.echo(f"Worker process {pulse.process} {state} {pulse.silent_seconds:.0f} s ago.")
    if any(pulse.hangs for pulse in pulses):
        raise typer.Exit(1)
    if not pulses:
        _ask_server()


def _ask_server() -> None:
    # No other command needs it, and it takes a while.
    import http.client

    port = os.environ.get(f"{PREFIX}PORT") or Settings.model_fields["port"].default
    try:
        # No proxy of the environment's: the question is for this machine.
        connection = http.client.HTTPConnection(f"127.0.0.1:{port}", timeout=_ANSWER_SECONDS)
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        reason = f"does not answer ({type(error).__name__})"
        typer.echo(f"No worker runs here, and the server at 127.0.0.1:{port} {reason}.")
        raise typer.Exit(1) from error
    typer.echo(f"The server at 127.0.0.1:{port} answers with {status}.")
    if status != HTTPStatus.OK:
        raise typer.Exit(1)
