"""A real HTTP service on this machine that answers as a test says, and keeps what it was sent."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    #: Path and query, as sent.
    target: str
    #: By their names in small letters.
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body read as JSON."""
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        """Return the fields of a form, the last value of each."""
        return {name: values[-1] for name, values in parse_qs(self.body.decode()).items()}


@dataclass(frozen=True)
class Answer:
    """What to answer."""

    status: int = 200
    #: Bytes as they are, a text, or what is written as JSON.
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Seconds before it is answered.
    delay: float = 0.0

    def content(self) -> bytes:
        """Return the body as bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


class FakeService:
    """The service: ``with FakeService(Answer(200, {"id": 7})) as service``.

    ``answer`` holds for every request; what is put into ``queue`` is given first, in turn.
    """

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or Answer()
        self.queue: deque[Answer] = deque()
        self.received: list[Received] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.service = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Serve no longer; its address refuses connections then."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    service: FakeService

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: a client that hangs up is a part of tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        service = self.server.service
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        service.received.append(Received(self.command, self.path, headers, body))
        answer = service.queue.popleft() if service.queue else service.answer
        if answer.delay:
            time.sleep(answer.delay)
        content = answer.content()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        # Each request has a connection of its own, so that none outlives a test.
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the base's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's word
        """Keep quiet."""
