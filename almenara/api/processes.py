"""The processes that share the database: servers and workers."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from almenara.api.authorization import READS_CONFIG
from almenara.api.dependencies import PartsNeeded
from almenara.api.problems import problems
from almenara.processes import Process, Role

router = APIRouter(prefix="/v1", tags=["plugins"], responses=problems(503))


class WorkerOut(BaseModel):
    """A process that serves or sends."""

    id: UUID
    #: `server` or `worker`; a server sends, too, unless there is a broker.
    kind: Role
    host: str
    pid: int
    #: Of Almenara; `null`: an older one, which does not say.
    version: str | None
    started_at: datetime
    #: When it reported itself last; it does so every 10 seconds.
    heartbeat_at: datetime
    #: Whether it has within the last 45 seconds.
    alive: bool


class WorkerList(BaseModel):
    """The processes, by the time of their start."""

    items: list[WorkerOut]


@router.get("/workers", dependencies=[READS_CONFIG])
async def list_workers(parts: PartsNeeded) -> WorkerList:
    """List the processes that share the database, those that were killed for another hour.

    One that ends in order leaves the list at once. On SQLite there is one.
    """
    processes = parts.processes
    found = await processes.everyone()
    return WorkerList(items=[_worker_out(one, alive=processes.lives(one)) for one in found])


def _worker_out(process: Process, *, alive: bool) -> WorkerOut:
    return WorkerOut(
        id=process.id,
        kind=process.role,
        host=process.host,
        pid=process.pid,
        version=process.version,
        started_at=process.started_at,
        heartbeat_at=process.seen_at,
        alive=alive,
    )
