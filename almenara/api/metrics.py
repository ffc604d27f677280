"""Metrics for Prometheus, as plain text."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from almenara import __version__, figures
from almenara.api.authorization import ADMINISTERS
from almenara.api.parts import Parts

router = APIRouter(tags=["health"])

_TEXT = {figures.CONTENT_TYPE: {"schema": {"type": "string"}}}


@router.get(
    "/metrics",
    dependencies=[ADMINISTERS],
    response_class=Response,
    responses={200: {"content": _TEXT}},
)
async def metrics(request: Request) -> Response:
    """Say what this server counts, in the text format of Prometheus."""
    parts: Parts | None = request.app.state.parts
    # A worker has none: what stands in the database is told by the servers.
    standing = {} if parts is None else await parts.backlog.read()
    # In a thread: it may be long, and loads its writer at the first time.
    text = await asyncio.to_thread(
        lambda: figures.write(figures.everyone(), standing, version=__version__)
    )
    return Response(text, media_type=figures.CONTENT_TYPE)
