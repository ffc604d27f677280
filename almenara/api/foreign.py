"""Bodies of senders that cannot be changed: read with patience, and made into messages."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Query, Request, Response

from almenara.api.body import DEEPEST, LARGEST_INTEGER, UnreadableBodyError
from almenara.api.incoming import MessageRoute, bringing, is_form, read_whole
from almenara.api.parts import Parts
from almenara.api.template_bodies import Sender
from almenara.templates import Reading

TemplateName = Annotated[
    Sender | None,
    Query(description="Reads the body as what this sender posts; `json`: any JSON."),
]

#: The largest foreign body, in bytes.
LARGEST = 1_048_576


class ForeignRoute(MessageRoute):
    """A route on a topic that also takes what well-known senders post.

    Where ``?template=`` or the topic's ``accept`` says how to read a body, what the route is given
    is the message that was made of it, as if it had been written so.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler of messages."""
        handler = super().get_route_handler()

        async def translating(request: Request) -> Response:
            parts: Parts = request.app.state.parts
            reading = await parts.intake.reading(
                request.path_params["name"], request.query_params.get("template")
            )
            if reading is not None and not is_form(request):
                request = await _translated(request, reading, parts)
            return await handler(request)

        return translating


async def _translated(request: Request, reading: Reading, parts: Parts) -> Request:
    """Return a request that brings the message which a foreign body means."""
    body = await read_whole(request)
    if len(body) > LARGEST:
        raise UnreadableBodyError(
            413, "body_too_large", f"The body is larger than {LARGEST:,} bytes, the limit here."
        )
    value = await asyncio.to_thread(read_foreign, body)
    made = await parts.intake.translate(reading, value, dict(request.headers))
    key = made.key if "idempotency-key" not in request.headers else None
    headers = [] if key is None else [(b"idempotency-key", key.encode())]
    return bringing(request, made.body, headers=headers)


def read_foreign(body: bytes) -> Any:
    """Read JSON that somebody else wrote, into values that can be stored.

    NUL characters go, lone surrogates are replaced, integers that not every reader keeps become
    text, and what is nested too deeply becomes the text of its JSON.

    Raises:
        UnreadableBodyError: it is not JSON at all.
    """
    try:
        text = body.decode("utf-8-sig", "replace")
        return _storable(json.loads(text, parse_constant=lambda _: None), 0)
    except (ValueError, RecursionError) as error:
        raise UnreadableBodyError(
            400, "invalid_json", "The body is not JSON; a template can read nothing else."
        ) from error


def _storable(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict | list) and depth >= DEEPEST - 2:
        return _storable(json.dumps(value), depth)
    if isinstance(value, dict):
        return {_storable(key, depth): _storable(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [_storable(one, depth + 1) for one in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST_INTEGER:
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
