"""What the routes are given: the parts of the running application, and the words of lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict

from almenara.accept import Acceptor
from almenara.catalogue import Channels, Topics
from almenara.database import Database
from almenara.errors import NotFoundError
from almenara.ledger import Ledger
from almenara.loader import Plugins
from almenara.log import Log
from almenara.operate import Operator
from almenara.queues.base import Queue


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one running application; ``app.py`` wires them."""

    acceptor: Acceptor
    operator: Operator
    log: Log
    channels: Channels
    topics: Topics
    plugins: Plugins
    database: Database
    ledger: Ledger
    queue: Queue


class StrictModel(BaseModel):
    """The base of every request body: unknown fields are errors, types are not guessed."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


async def running_parts(request: Request) -> Parts:
    """Return the parts of the application that serves this request."""
    parts: Parts = request.app.state.parts
    return parts


def _id_of(kind: str) -> Any:
    async def read(identifier: Annotated[str, Path(alias="id", max_length=64)]) -> UUID:
        """Read an id; one that cannot be is simply not found."""
        try:
            return UUID(identifier)
        except ValueError as error:
            raise NotFoundError(kind, identifier[:64]) from error

    return Depends(read)


PartsNeeded = Annotated[Parts, Depends(running_parts)]
MessageId = Annotated[UUID, _id_of("message")]
DeliveryId = Annotated[UUID, _id_of("delivery")]
Name = Annotated[str, Path(max_length=64, description="The name, in any case.")]
Cursor = Annotated[
    str | None, Query(max_length=64, description="`next_cursor` of the page before.")
]
Limit = Annotated[int, Query(ge=1, le=250, description="How many rows a page has.")]
Word = Annotated[str | None, Query(max_length=64)]
Moment = Annotated[
    AwareDatetime | None,
    Query(description="A time with its zone, such as `2026-11-23T22:00:00Z`."),
]
Text = Annotated[str | None, Query(max_length=255)]

#: A moment in an answer; UTC.
Timestamp = datetime
