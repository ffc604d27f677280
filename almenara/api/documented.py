"""The documented application: the framework, with every route of the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from almenara import __version__
from almenara.api import (
    accepting,
    audit,
    backups,
    channels,
    deliveries,
    explaining,
    health,
    messages,
    metrics,
    pages,
    plugins,
    processes,
    replays,
    stats,
    streaming,
    topics,
)
from almenara.api.body_limit import BodyLimit
from almenara.api.handlers import add_error_handlers

#: What every application of ours asks of the framework.
_OPTIONS: Final[dict[str, Any]] = {
    "title": "Almenara",
    "version": __version__,
    # The pages of the framework load scripts from elsewhere; `pages` has our own.
    "docs_url": None,
    "redoc_url": None,
    "openapi_url": None,
    # An address has one form. What redirects is answered with the caller's own Host in it.
    "redirect_slashes": False,
    # It asks three times in each request whether somebody observes it.
    "telemetry": {"tracing": False, "metrics": False, "logs": False},
}

#: In the order of the API's description.
_MODULES: Final = (
    accepting,
    explaining,
    messages,
    streaming,
    stats,
    deliveries,
    replays,
    audit,
    backups,
    topics,
    channels,
    plugins,
    processes,
    health,
    metrics,
    pages,
)


class _Documented(FastAPI):
    """The framework's application, but for its answers to what nobody thought of.

    The layers before it give those (``application.py``), and would give them a second time.
    """

    def build_middleware_stack(self) -> ASGIApp:
        """Return what answers, without the outermost layer."""
        stack = super().build_middleware_stack()
        return stack.app if isinstance(stack, ServerErrorMiddleware) else stack


def documented(*, largest: int, others: Sequence[BaseRoute] = ()) -> FastAPI:
    """Make the application that has every route; what stands before it lets requests in.

    Args:
        largest: the largest body that is taken, in bytes.
        others: routes that are not described.
    """
    app = _Documented(
        summary="A message in over HTTP, out by every channel, with a log that proves it.",
        **_OPTIONS,
    )
    app.add_middleware(BodyLimit, largest=largest)
    add_error_handlers(app)
    for module in _MODULES:
        app.include_router(module.router)
    app.router.routes.extend(others)
    return app


def measured() -> FastAPI:
    """Make the application of a worker, which has ``/metrics`` alone."""
    app = FastAPI(**_OPTIONS)
    add_error_handlers(app)
    app.include_router(metrics.router)
    return app
