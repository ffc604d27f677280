"""Health: alive, and ready; neither needs a token."""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from almenara.api.dependencies import PartsNeeded
from almenara.api.parts import Parts
from almenara.telemetry import get_logger, process_name

log = get_logger("api")
router = APIRouter(tags=["health"])

#: The database must answer a readiness check within so many seconds.
_DATABASE_SECONDS = 2.0


class Health(BaseModel):
    """The process is alive."""

    status: str = "ok"


class Readiness(BaseModel):
    """Whether messages can be accepted and sent; names what is not ready."""

    #: ``ready``, ``degraded`` (messages are accepted and sent, but something is to be mended), or
    #: ``not ready``.
    status: Literal["ready", "degraded", "not ready"]
    #: Each part: ``ok``, or what is wrong with it.
    checks: dict[str, str]
    #: Which of the processes that share the database answered.
    process: str


@router.get("/healthz")
async def healthz() -> Health:
    """Say that the process is alive."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness}})
async def readyz(request: Request, parts: PartsNeeded, response: Response) -> Readiness:
    """Say whether messages can be accepted and sent; 503 and what is not ready otherwise."""
    checks = {
        "database": await _database(parts),
        "ledger": "ok" if parts.ledger.running else "it writes no more: the server is stopping",
        "queue": "ok" if parts.queue.healthy else "nothing looks for what is due",
    }
    ready = all(check == "ok" for check in checks.values())
    response.status_code = 200 if ready else 503
    status: Literal["ready", "degraded", "not ready"] = "ready" if ready else "not ready"
    trouble = parts.queue.trouble
    if ready and trouble:
        # Accepted as ever, so whoever asks shall go on sending messages here.
        status, checks["queue"] = "degraded", trouble
    authenticator = request.app.state.authenticator
    if authenticator is not None:
        checks["tokens"] = authenticator.trouble or "ok"
        if ready and authenticator.trouble:
            status = "degraded"
    return Readiness(status=status, checks=checks, process=process_name())


async def _database(parts: Parts) -> str:
    try:
        async with asyncio.timeout(_DATABASE_SECONDS):
            await parts.database.fetch("SELECT revision FROM configuration WHERE id = 1")
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer is "not ready"
        log.warning("database_unavailable", error=type(error).__name__)
        return f"it does not answer ({type(error).__name__})"
    return "ok"
