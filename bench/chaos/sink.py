"""The sink: an HTTP receiver in a process of its own that writes each arrival down, then answers.

`python -m bench.chaos.sink FILE` prints its port. The product posts to `/`; a `PUT /behave` with
`{"status": 503, "delay_seconds": 2}` tells it how to answer from now on. The status is written with
the arrival: only what was answered by a 2xx has had its effect.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, cast

from bench.chaos.product import ROOT, clean_environment


class Behaviour:
    """How the sink answers just now."""

    status = 200
    delay_seconds = 0.0


class Receiver(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, file: int, behaviour: Behaviour) -> None:
        self._file = file
        self._behaviour = behaviour
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take each whole request out of what has come."""
        self._buffer += data
        while True:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines[1:])
            }
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._take(lines[0], headers, rest[:length])

    def _take(self, first_line: str, headers: dict[str, str], body: bytes) -> None:
        behaviour = self._behaviour
        if first_line.startswith("PUT /behave"):
            told = json.loads(body)
            behaviour.status = told.get("status", 200)
            behaviour.delay_seconds = told.get("delay_seconds", 0.0)
            self._answer(204)
            return
        arrival = {
            "delivery": headers.get("webhook-id"),
            "key": json.loads(body).get("reference"),
            "at": time.monotonic(),
            "wall": time.time(),
            "body": hashlib.sha256(body).hexdigest(),
            "status": behaviour.status,
        }
        os.write(self._file, json.dumps(arrival).encode() + b"\n")
        if behaviour.delay_seconds:
            loop = asyncio.get_running_loop()
            loop.call_later(behaviour.delay_seconds, self._answer, behaviour.status)
        else:
            self._answer(behaviour.status)

    def _answer(self, status: int) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())


class Sink:
    """The sink's process, as the bench holds it."""

    def __init__(self, file: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.chaos.sink", str(file)],
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(),
            cwd=ROOT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def behave(self, *, status: int = 200, delay_seconds: float = 0.0) -> None:
        """Tell it how to answer from now on."""
        body = json.dumps({"status": status, "delay_seconds": delay_seconds}).encode()
        request = urllib.request.Request(f"{self.url}/behave", data=body, method="PUT")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10):
            pass

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


async def serve(file: Path) -> None:
    """Receive until the process is ended."""
    behaviour = Behaviour()
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    loop = asyncio.get_running_loop()

    def receiver() -> Any:
        return Receiver(descriptor, behaviour)

    server = await loop.create_server(receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
