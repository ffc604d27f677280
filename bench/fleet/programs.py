"""The programs of a measurement: started with an environment of their own, ended with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.chaos.product import clean_environment
from bench.processes import wait_unreaped

_STARTING_SECONDS = 60
_ENDING_SECONDS = 40


@contextmanager
def program(
    arguments: Sequence[str], *, output: Path, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python program, and stop it at the end, with whatever it started."""
    with output.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=clean_environment() | dict(environ or {}),
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


@contextmanager
def served(
    arguments: Sequence[str], *, output: Path, environ: Mapping[str, str] | None = None
) -> Iterator[tuple[str, int]]:
    """Run a program that says where it serves; give its URL and its process."""
    with program(arguments, output=output, environ=environ) as process:
        [line] = events(process, output, "serving", 1)
        yield str(line["url"]), process.pid


def events(
    process: subprocess.Popen[bytes], output: Path, event: str, count: int
) -> list[dict[str, Any]]:
    """Wait until a program has written so many lines of JSON with an event, and return them.

    Raises:
        RuntimeError: it ended, or does not write them; with what it wrote.
    """
    deadline = time.monotonic() + _STARTING_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = [one for one in _lines(output) if one.get("event") == event]
        if len(found) >= count:
            return found
        time.sleep(0.02)
    words = output.read_text(errors="replace")[-3000:]
    raise RuntimeError(f"{process.args!r} does not tell {event!r}:\n{words}")


def get(url: str) -> Any:
    """Read JSON from an address on this machine."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return json.loads(answer.read())


def _lines(output: Path) -> Iterator[dict[str, Any]]:
    for line in output.read_text(errors="replace").splitlines():
        if line.startswith("{") and line.endswith("}"):
            yield json.loads(line)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    wait_unreaped(process, _ENDING_SECONDS)
    # Whatever it left: the group is this program's own, as long as it is not reaped.
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
