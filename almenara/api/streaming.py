"""The log as it happens: server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from almenara.api.authorization import Reader
from almenara.api.connection import ABORT
from almenara.api.dependencies import PartsNeeded, Word
from almenara.api.messages import message_out
from almenara.api.problems import problems
from almenara.api.strict import StrictRoute
from almenara.auth import ANYBODY
from almenara.models import new_id
from almenara.stream import Change, Listener, Stream, Words

router = APIRouter(
    prefix="/v1", tags=["messages"], route_class=StrictRoute, responses=problems(422, 503)
)

MEDIA_TYPE = "text/event-stream"
#: When nothing happens, a comment is sent so often, in seconds.
HEARTBEAT_SECONDS = 15.0
#: Who came with a token is asked for it anew after so long, in seconds: it may be good no longer.
LONGEST_SECONDS = 900.0

_HEADERS = {
    "Cache-Control": "no-store",
    # nginx holds answers back, unless it is told not to.
    "X-Accel-Buffering": "no",
}


def write_event(kind: str, data: str) -> bytes:
    """Write one event; its data are one line."""
    return f"event: {kind}\nid: {new_id()}\ndata: {data}\n\n".encode()


def stream_words() -> Words:
    """Return how the stream's events are written."""
    return Words(
        change=lambda change: write_event("message", message_out(change.message).model_dump_json()),
        left_out=b"event: left_out\ndata: {}\n\n",
        end=b"event: end\ndata: {}\n\n",
    )


class _Events(Response):
    """What one listener is told, until they leave or it ends."""

    media_type = MEDIA_TYPE

    def __init__(self, stream: Stream, listener: Listener, *, longest: float | None) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._stream = stream
        self._listener = listener
        self._longest = longest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        del scope
        watching = asyncio.create_task(_leave_with(receive, self._listener))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            # Where a browser counts the lines itself, it comes back so soon, in milliseconds.
            await self._send(send, b"retry: 2000\n\n")
            try:
                async with asyncio.timeout(self._longest):
                    await self._tell(send)
            except TimeoutError:
                await self._send(send, stream_words().end)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._stream.leave(self._listener)
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _tell(self, send: Send) -> None:
        while (told := await self._listener.next(HEARTBEAT_SECONDS)) is not None:
            await self._send(send, told or b": nothing new\n\n")

    @staticmethod
    async def _send(send: Send, body: bytes) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _leave_with(receive: Receive, listener: Listener) -> None:
    """Let a listener go whose client has."""
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.be_gone()


def _nothing() -> None:
    """Hang up where there is no connection of ours."""


@router.get(
    "/stream",
    response_class=Response,
    responses={
        200: {
            "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
            "description": "Events, without end.",
        }
    },
)
async def stream_messages(
    request: Request,
    parts: PartsNeeded,
    reader: Reader,
    *,
    topic: Word = None,
    channel: Word = None,
) -> Response:
    """Tell, as server-sent events, each message that is new or one of whose deliveries has moved.

    `event: message` has in `data` the message as `GET /v1/messages` lists it, as it is now: keep
    the last one by its `id`. Moves within a second are told once. `event: left_out`: more has
    changed than can be told; read the list. `event: end`: the server stops, or your token is to be
    shown again; come back. A comment is sent every 15 seconds. The `id` of an event is in the order
    of time.

    There is no going on behind an event: open the stream first, then read `GET /v1/messages`, so
    that nothing falls between the two. After a break read, once the stream is open again, what is
    new `since` ten seconds before the last event, drop what you have, and read those messages anew
    that were not finished.

    Of 1,000 deliveries that wait, the newest, each move is told; of older ones what is tried, sent
    again, or moved by an operator, and not what expires meanwhile. Whoever reads too slowly is cut
    off. So many streams are open in one process at the most: 64; one more is answered with 503.
    """
    wanted_topic, wanted_channel = (one and one.strip().lower() for one in (topic, channel))

    def wants(change: Change) -> bool:
        there = change.message.topic
        return (
            reader.sees(there)
            and wanted_topic in {None, "", there}
            and (not wanted_channel or wanted_channel in change.channels)
        )

    hang_up: Callable[[], None] = request.scope.get(ABORT, _nothing)
    listener = await parts.stream.listen(wants, by_channel=bool(wanted_channel), hang_up=hang_up)
    return _Events(parts.stream, listener, longest=None if reader is ANYBODY else LONGEST_SECONDS)
