"""A backup of everything, as one file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from almenara.api.authorization import Keeper
from almenara.api.dependencies import PartsNeeded
from almenara.api.problems import problems
from almenara.api.strict import StrictRoute

router = APIRouter(
    prefix="/v1", tags=["backups"], route_class=StrictRoute, responses=problems(422, 503)
)

#: The media type of an SQLite database.
MEDIA_TYPE = "application/vnd.sqlite3"

#: How many messages the copy holds.
COUNT_HEADER = "Backup-Message-Count"

_CHUNK_BYTES = 262_144


class _Leaving(StreamingResponse):
    """An open file that is closed however the answer ends."""

    file: BinaryIO

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self.file:
            await super().__call__(scope, receive, send)


@router.post(
    "/backups",
    response_class=StreamingResponse,
    responses={
        200: {"content": {MEDIA_TYPE: {}}, "description": "An SQLite database."},
        **problems(409),
    },
)
async def take_backup(parts: PartsNeeded, keeper: Keeper) -> StreamingResponse:
    """Copy the whole SQLite database, of one moment, while everything goes on.

    The answer begins when the copy is made; `Backup-Message-Count` says how many messages it holds.
    The key for the secrets in it is not in it.
    """
    copy = await parts.backups.take(by=keeper.subject)
    copy.file.seek(0)
    answer = _Leaving(
        _chunks(copy.file),
        media_type=MEDIA_TYPE,
        headers={
            "Content-Disposition": 'attachment; filename="almenara.sqlite3"',
            "Content-Length": str(copy.size),
            COUNT_HEADER: str(copy.message_count),
        },
    )
    answer.file = copy.file
    return answer


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """Read a file; Starlette does so in a thread."""
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk
