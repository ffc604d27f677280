"""A real HTTP server on loopback that answers as a test says, and keeps what it was asked."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    #: Path and query, as sent.
    target: str
    headers: Mapping[str, str]
    #: The JSON of the body; ``None`` when there was none.
    body: Any


@dataclass(frozen=True)
class Said:
    """One answer."""

    body: Any = None
    status: int = 200
    #: The body as it is, instead of JSON.
    text: str | None = None
    #: Called before it is sent.
    before: Callable[[], object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class ScriptedServer:
    """The server: ``with ScriptedServer() as server``.

    ``answer`` says what to answer to a method and a path; several answers are given in turn, the
    last one ever after. What was not scripted is a 404 in the words of Almenara.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self._script: dict[tuple[str, str], list[Said]] = {}
        self._server = _HttpServer(("127.0.0.1", 0), _Handler)
        self._server.script = self
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """The server's address."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def answer(self, method: str, path: str, *answers: Any, status: int = 200) -> None:
        """Script the answers to a method and a path without its query: JSON, or ``Said``."""
        self._script[method, path] = [
            one if isinstance(one, Said) else Said(one, status) for one in answers
        ]

    def refuse(self, method: str, path: str, status: int, detail: str, *errors: Any) -> None:
        """Script a problem document; errors are pairs of field and message."""
        self.answer(method, path, problem(status, detail, *errors))

    def say(self, asked: Asked) -> Said:
        """Return the answer to one request."""
        self.asked.append(asked)
        answers = self._script.get((asked.method, asked.target.partition("?")[0]))
        if answers is None:
            return problem(404, "There is nothing at this address.")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def problem(status: int, detail: str, *errors: tuple[str, str]) -> Said:
    """Return a problem document."""
    fields = [{"field": name, "code": "wrong", "message": message} for name, message in errors]
    return Said({"status": status, "detail": detail, "code": "wrong", "errors": fields}, status)


class _HttpServer(ThreadingHTTPServer):
    script: ScriptedServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: clients that hang up, or do not trust a certificate, are part of tests."""


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        said = self.server.script.say(Asked(self.command, self.path, dict(self.headers), body))
        if said.before is not None:
            said.before()
        text = said.text
        if text is None:
            text = "" if said.body is None else json.dumps(said.body, separators=(",", ":"))
        content = text.encode()
        self.send_response(said.status)
        for name, value in said.headers.items():
            self.send_header(name, value)
        if said.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's word
        """Keep quiet."""
