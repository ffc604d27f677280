"""A real HTTP service on this machine that answers as a test says, and keeps what it was sent."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from multidict import CIMultiDict


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    #: Path and query, as sent.
    target: str
    #: By their names, in any case.
    headers: CIMultiDict[str]
    body: bytes
    #: Which connection it came over, counted from 1.
    connection: int = 1

    def json(self) -> Any:
        """Return the body read as JSON; ``None`` where there is none."""
        return json.loads(self.body) if self.body else None

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


#: An answer, or what makes one of the request, in a thread of its connection.
Answering = Answer | Callable[[Received], Answer]


class FakeService:
    """The service: ``with FakeService(Answer(200, {"id": 7})) as service``.

    ``answer`` holds for every request; what is put into ``queue`` is given first, in turn. Every
    request is in ``received`` before its answer is made. Connections are kept until the end.

    Args:
        answer: the answer to every request; 200 without a body.
        tls: the server's TLS context, with its certificate; absent: no TLS.
    """

    def __init__(
        self, answer: Answering | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.answer: Answering = answer or Answer()
        self.queue: deque[Answering] = deque()
        self.received: list[Received] = []
        self._scheme = "https" if tls else "http"
        self._server = _Server(self, tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self._server.server_port

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

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
        """Hang up on everybody; its address refuses connections then."""
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    # With the usual five, one of many clients at once waits for a second.
    request_queue_size = 128
    # At the end each connection's thread is waited for.
    daemon_threads = False

    def __init__(self, service: FakeService, tls: ssl.SSLContext | None) -> None:
        self.service = service
        self.ending = threading.Event()
        #: The connections that are open, each with its number.
        self.connections: dict[socket.socket, int] = {}
        self._connection_count = 0
        self._tls = tls
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take a connection; its own thread makes the TLS handshake, with its first read."""
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        self._connection_count += 1
        self.connections[connection] = self._connection_count
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self.connections.pop(request, None)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End all conversations."""
        self.ending.set()
        for connection in list(self.connections):
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                continue  # gone already

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: clients that hang up, or trust no certificate, are a part of tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes out at once, in one piece.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def _serve(self) -> None:
        service = self.server.service
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        number = self.server.connections[self.request]
        request = Received(self.command, self.path, self._read_headers(), body, number)
        service.received.append(request)
        answer = service.queue.popleft() if service.queue else service.answer
        if not isinstance(answer, Answer):
            answer = answer(request)
        if answer.delay and self.server.ending.wait(answer.delay):
            self.close_connection = True
            return
        self._write(answer)

    def _read_headers(self) -> CIMultiDict[str]:
        """Return the headers; what is not ASCII is UTF-8, where the base reads Latin-1."""
        return CIMultiDict(
            (name, value.encode("latin-1").decode("utf-8", "surrogateescape"))
            for name, value in self.headers.items()
        )

    def _write(self, answer: Answer) -> None:
        bare = answer.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
        content = b"" if bare else answer.content()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not bare:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the base's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's word
        """Keep quiet."""
