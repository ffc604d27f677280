"""What the routes are given: the parts of the running application, and the words of lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Query, Request
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

from almenara.accept import Acceptor
from almenara.audit import Audit
from almenara.backlog import Backlog
from almenara.backups import Backups
from almenara.catalogue import Channels, Pausing, Topics
from almenara.database import Database
from almenara.drilling import Driller
from almenara.errors import FieldError, InvalidInputError, NotFoundError
from almenara.explain import Explainer
from almenara.intake import Intake
from almenara.ledger import Ledger
from almenara.loader import Plugins
from almenara.log import Log
from almenara.operate import Operator
from almenara.processes import Processes
from almenara.queues.base import Queue
from almenara.replay import Replays
from almenara.stream import Stream
from almenara.tallies import Tallies
from almenara.tracing import Spans
from almenara.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one running application; ``app.py`` wires them."""

    acceptor: Acceptor
    intake: Intake
    uploads: Uploads
    explainer: Explainer
    operator: Operator
    replays: Replays
    log: Log
    audit: Audit
    backups: Backups
    channels: Channels
    driller: Driller
    pausing: Pausing
    topics: Topics
    plugins: Plugins
    processes: Processes
    backlog: Backlog
    tallies: Tallies
    stream: Stream
    #: ``None``: tracing is off.
    spans: Spans | None
    database: Database
    ledger: Ledger
    queue: Queue


#: What the name of a topic or a channel looks like when it is stored.
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
#: What it looks like when it is written.
_WRITTEN_NAME = Annotated[str, Field(pattern=r"^\s*[A-Za-z0-9][A-Za-z0-9._-]{0,63}\s*$")]


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


#: The name of a topic or a channel, written in any case, stored in lower case.
NewName = Annotated[
    str,
    Field(pattern=NAME_PATTERN),
    BeforeValidator(_lower, json_schema_input_type=_WRITTEN_NAME),
]


def refusal(field: str, *, code: str, message: str) -> InvalidInputError:
    """Return the error for one field, where Pydantic cannot know which one it is."""
    return InvalidInputError(message, errors=[FieldError(field=field, code=code, message=message)])


def written_out(value: object) -> object:
    """Refuse bare numbers for a time, which Pydantic would take for seconds since 1970."""
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt ]", value):
        raise ValueError("Write a time with its zone, such as 2026-11-23T22:00:00Z.")
    return value


class StrictModel(BaseModel):
    """The base of every request body: unknown fields are errors, types are not guessed."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


async def running_parts(request: Request) -> Parts:
    """Return the parts of the application that serves this request."""
    parts: Parts = request.app.state.parts
    return parts


def _id_of(kind: str) -> Any:
    async def read(identifier: Annotated[str, Path(alias="id")]) -> UUID:
        """Read an id; one that cannot be is simply not found."""
        try:
            return UUID(identifier)
        except ValueError as error:
            raise NotFoundError(kind, identifier[:64]) from error

    return Depends(read)


PartsNeeded = Annotated[Parts, Depends(running_parts)]
MessageId = Annotated[UUID, _id_of("message")]
DeliveryId = Annotated[UUID, _id_of("delivery")]
ReplayId = Annotated[UUID, _id_of("replay")]


def no_nul(value: str) -> str:
    """Refuse what PostgreSQL would refuse as a parameter."""
    if "\x00" in value:
        raise ValueError("Leave out NUL characters (%00).")
    return value


Name = Annotated[
    str, Path(max_length=64, description="The name, in any case."), AfterValidator(no_nul)
]
Cursor = Annotated[
    str | None, Query(max_length=64, description="`next_cursor` of the page before.")
]
Limit = Annotated[int, Query(ge=1, le=250, description="How many rows a page has.")]
Word = Annotated[Annotated[str, AfterValidator(no_nul)] | None, Query(max_length=64)]
Moment = Annotated[
    Annotated[AwareDatetime, BeforeValidator(written_out)] | None,
    Query(description="A time with its zone, such as `2026-11-23T22:00:00Z`."),
]
Text = Annotated[Annotated[str, AfterValidator(no_nul)] | None, Query(max_length=255)]
