"""What the routes are given: the parts of the running application, and the words of lists."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Header, Path, Query, Request
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
)

from almenara.api.fields import no_nul, written_out
from almenara.api.message_bodies import KEY_PATTERN, LONGEST_KEY
from almenara.api.parts import Parts
from almenara.api.traced import sent_traceparent
from almenara.errors import NotFoundError


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
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=LONGEST_KEY,
        pattern=KEY_PATTERN,
        description="Printable ASCII: the same key and message are stored once, for as long as "
        "the message is kept.",
    ),
]

#: What the API's description says of the header.
TRACED: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "traceparent",
            "in": "header",
            "required": False,
            "description": "The trace that the message belongs to (W3C Trace Context), which is "
            "kept with it; an invalid one is passed over.",
            "schema": {"type": "string"},
        }
    ]
}


async def _of_request(request: Request) -> str | None:
    return sent_traceparent(request.scope["headers"])


#: The context that a request came with.
Traceparent = Annotated[str | None, Depends(_of_request)]
