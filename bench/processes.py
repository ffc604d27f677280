"""Server processes for a benchmark: started in a directory of their own, killed at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

Started = TypeVar("Started")

_STARTING_SECONDS = 60


def wait_unreaped(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a process's end, and leave its number taken, so that its group can be signalled.

    Once it is reaped, another process may have its number, and lead a group of its own.

    Returns:
        whether it has ended.
    """
    deadline = time.monotonic() + seconds
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while process.returncode is None:
        try:
            if os.waitid(os.P_PID, process.pid, options) is not None:
                return True
        except ChildProcessError:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def server(
    arguments: Sequence[str], directory: Path, more: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run a Python program that serves, and give its URL; at the end it is killed, not stopped.

    Args:
        arguments: what Python is called with.
        directory: where its files go.
        more: settings besides those of its directory.

    Raises:
        RuntimeError: it ended, or does not say where it serves; with what it wrote.
    """
    written = directory / "server.log"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("ALMENARA_")
    } | {
        "ALMENARA_DATA_DIR": str(directory / "data"),
        "ALMENARA_PLUGINS_DIR": str(directory / "plugins"),
        "ALMENARA_LOG_FORMAT": "json",
        **(more or {}),
    }
    with written.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments], env=environment, stdout=file, stderr=file
        )
        try:
            yield _url(process, written)
        finally:
            process.kill()
            process.wait()


def at_once(starters: Mapping[str, Callable[[], Started]]) -> dict[str, Started]:
    """Call all of these at once, so that servers are there as soon as the slowest of them."""
    with ThreadPoolExecutor(len(starters)) as pool:
        return dict(zip(starters, pool.map(lambda start: start(), starters.values()), strict=True))


def load(
    url: str,
    body: str,
    *,
    connections: int,
    warm_up: float = 0.0,
    seconds: float | None = None,
    count: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """Load an address from another process, and return what the generator tells.

    Args:
        warm_up: in seconds, before it is measured.
        seconds: how long it is measured; or
        count: how many requests are made.
        headers: besides the usual; `bench.load.UNIQUE` in one becomes a number of its own.
    """
    command = [sys.executable, "-m", "bench.load", url, body]
    command += ["--connections", str(connections), "--warm-up", str(warm_up)]
    command += ["--seconds", str(seconds)] if count is None else ["--count", str(count)]
    for name, value in (headers or {}).items():
        command += ["--header", f"{name}: {value}"]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(finished.stdout)


def put(url: str, body: object, headers: Mapping[str, str] | None = None) -> None:
    """Write something over the API."""
    _call("PUT", url, json.dumps(body).encode(), headers)


def post(url: str, headers: Mapping[str, str] | None = None) -> None:
    """Ask for something over the API."""
    _call("POST", url, b"", headers)


def _call(method: str, url: str, body: bytes, headers: Mapping[str, str] | None) -> None:
    request = urllib.request.Request(
        url,
        data=body,
        method=method,
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    # No proxy of the environment's: the server is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10):
        pass


def _url(process: subprocess.Popen[bytes], written: Path) -> str:
    deadline = time.monotonic() + _STARTING_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        for line in written.read_text().splitlines():
            if '"serving"' in line and line.endswith("}"):
                return str(json.loads(line)["url"])
        time.sleep(0.02)
    raise RuntimeError(f"The server does not serve:\n{written.read_text()}")
