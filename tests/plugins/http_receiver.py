"""A real HTTP server on loopback: it keeps every request before it answers, and answers as told."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from multidict import CIMultiDictProxy


@dataclass(frozen=True)
class ReceivedRequest:
    """One request as it arrived."""

    method: str
    #: Path and query, as sent.
    target: str
    headers: CIMultiDictProxy[str]
    body: bytes

    def json(self) -> Any:
        """Return the body read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What to answer, and after how long."""

    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0


#: Answers by hand, with all of aiohttp at its disposal.
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpReceiver:
    """The server: ``async with HttpReceiver() as receiver``.

    Every request is in ``received`` before its answer is made. ``queue`` gives the answers to the
    next requests in order; when it is empty, ``answer`` holds for all.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[ReceivedRequest] = []
        self.answer: Answer | Handler = Answer()
        self.queue: deque[Answer | Handler] = deque()
        self.port = 0
        self._tls = tls
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The server's address, without a path."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.received.append(
            ReceivedRequest(request.method, request.raw_path, request.headers, body)
        )
        answer = self.queue.popleft() if self.queue else self.answer
        if not isinstance(answer, Answer):
            return await answer(request)
        if answer.delay_seconds:
            await asyncio.sleep(answer.delay_seconds)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
