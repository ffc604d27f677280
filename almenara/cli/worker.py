"""The command that sends for other processes: a worker of the fleet."""

from __future__ import annotations

import os
import socket
from typing import Annotated

import typer

from almenara.settings import PREFIX, read_settings

Sends = Annotated[
    int | None, typer.Option(min=1, max=4096, help="How many attempts each process makes at once.")
]
MetricsPort = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Serve /metrics on this port; 0 takes any.")
]
Processes = Annotated[int, typer.Option(min=1, max=256, help="How many processes send.")]


def worker(sends: Sends = None, processes: Processes = 1, metrics_port: MetricsPort = None) -> None:
    """Send what others accepted: as many workers, on as many machines, as are wanted.

    It needs `ALMENARA_DATABASE_URL` and `ALMENARA_BROKER_URL`, the same as `almenara serve` has.

    Example: almenara worker --sends 64 --processes 2
    """
    settings = read_settings(sends=sends, metrics_port=metrics_port)
    # For whatever is started anew from the environment.
    os.environ[f"{PREFIX}SENDS"] = str(settings.sends)
    from almenara.worker import make_app

    app = make_app(settings)
    app.worker_main(
        [
            "--quiet",
            "worker",
            f"--concurrency={processes}",
            # Several may run on one machine, and each has a name of its own.
            f"--hostname=almenara-{os.getpid()}@{socket.gethostname()}",
            f"--loglevel={settings.log_level}",
            # Workers have nothing to tell each other.
            "--without-gossip",
            "--without-mingle",
        ]
    )
