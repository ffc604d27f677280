"""RabbitMQ for both sides: a virtual host of the bench's own on the server that is there."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

#: Where RabbitMQ is expected.
DEFAULT_URL = "amqp://guest:guest@127.0.0.1:5672//"
_CONTROL = "rabbitmqctl"
_CONTROL_SECONDS = 60


@contextmanager
def virtual_host(url: str) -> Iterator[str]:
    """Give the URL of a virtual host that is made for this, and deleted at the end.

    Raises:
        SystemExit: this user may not make one; says what to do.
    """
    if shutil.which(_CONTROL) is None or os.geteuid() != 0:
        raise SystemExit(
            "The bench makes a virtual host of its own by rabbitmqctl, which only root may use: "
            "run it as root on the broker's machine, or name an unused virtual host with "
            "--own-broker-url."
        )
    name = f"bench-fleet-{secrets.token_hex(4)}"
    parts = urlsplit(url)
    _control("add_vhost", name)
    try:
        _control("set_permissions", "-p", name, parts.username or "guest", ".*", ".*", ".*")
        yield urlunsplit(parts._replace(path=f"/{name}"))
    finally:
        _control("delete_vhost", name)


def _control(*arguments: str) -> None:
    subprocess.run(
        [_CONTROL, "--quiet", *arguments],
        check=True,
        capture_output=True,
        timeout=_CONTROL_SECONDS,
    )
