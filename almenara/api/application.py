"""What a server answers with: the layers that take a message by themselves, before all routes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.datastructures import State
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from almenara.api.direct import Direct
from almenara.api.errors import answer_unexpected
from almenara.api.gate import OPEN, Gate
from almenara.api.headers import SafeHeaders
from almenara.api.traced import Traced
from almenara.rates import Rate
from almenara.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from almenara.auth import Authenticator


class Application:
    """Everything that answers requests; plain ASGI, which a server is given.

    A plain message is taken here, by few layers. All else goes on to the documented application,
    the framework's with its routes, which takes nearly half of a server's start to make: after
    :meth:`load` that is done in a thread, while messages are accepted, and whoever asks for
    something else meanwhile waits for it.

    Args:
        authenticator: verifies tokens; ``None``: none are asked for.
        rate: how many requests one subject may make; ``None``: any number.
        hosts: the names that the server answers to; none: any.
        open_to_all: addresses besides the probes that need no token.
        make_documented: makes the application that has all routes.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        authenticator: Authenticator | None,
        rate: Rate | None,
        hosts: tuple[str, ...],
        open_to_all: frozenset[str],
        make_documented: Callable[[], FastAPI],
    ) -> None:
        #: What the layers and the routes share: the settings, and the ``parts`` of what runs.
        self.state = State()
        self.state.settings = settings
        self.state.authenticator = authenticator
        self._make_documented = make_documented
        self._documented: FastAPI | None = None
        self._loading: asyncio.Task[FastAPI] | None = None
        app: ASGIApp = Direct(self._pass_on, largest=settings.max_body_bytes)
        if settings.traces == "on":
            app = Traced(app)
        app = Gate(app, authenticator=authenticator, rate=rate, open_to_all=OPEN | open_to_all)
        if settings.cors_origins:
            # Before the gate: a browser asks whether it may ask without any token.
            app = CORSMiddleware(
                app,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "traceparent"],
                expose_headers=["Location", "Idempotency-Replayed", "Retry-After", "RateLimit"],
            )
        app = SafeHeaders(app, hosts=hosts)
        self._layers = ServerErrorMiddleware(app, handler=answer_unexpected)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        scope["app"] = self
        await self._layers(scope, receive, send)

    def load(self) -> asyncio.Task[FastAPI]:
        """Begin to make the documented application, in a thread; again only if that failed."""
        if self._loading is None or (self._loading.done() and self._documented is None):
            self._loading = asyncio.create_task(asyncio.to_thread(self._load), name="routes")
        return self._loading

    def openapi(self) -> dict[str, Any]:
        """Return the description of the API."""
        return self._load().openapi()

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._documented is None:
            await asyncio.shield(self.load())
        await self._load()(scope, receive, send)

    def _load(self) -> FastAPI:
        if self._documented is None:
            app = self._make_documented()
            app.state = self.state
            self._documented = app
        return self._documented
