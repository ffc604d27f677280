"""How an answer goes out: in one write, where it can.

By ASGI an answer is two messages at least, its head and its body. Each is passed on by every layer,
and uvicorn looks at each header anew and makes one system call for each message.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Transport
from typing import Any, Final, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import (
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

from almenara.api.headers import HEADERS

#: An extension of ASGI: where a request's scope has it, `http.response.start` may bring the whole
#: body under this name, and is then the only message of the answer. It saves a tenth of what
#: accepting a message costs.
WHOLE: Final = "almenara.whole"

#: So many bytes of an answer are held back for what follows them, at the most.
_GATHERED = 65_536


class Gathering:
    """A transport whose small writes of one turn of the event loop go out as one.

    uvicorn writes the head of an answer and its body apart: two system calls and two packets, a
    twentieth of what accepting a message costs.
    """

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write, before this turn of the loop is over."""
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > _GATHERED:
            self.flush()

    def write_now(self, data: bytes) -> None:
        """Write what is held back, and this."""
        self.flush()
        self._transport.write(data)

    def close(self) -> None:
        """Write what is left, then close."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Write nothing more, and close."""
        self._parts, self._size = [], 0
        self._transport.abort()

    def flush(self) -> None:
        """Write now what was held back."""
        if self._parts:
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts, self._size = [], 0
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _line(name: bytes, value: bytes) -> bytes:
    if HEADER_VALUE_RE.search(value):
        raise ValueError("a header of the answer holds what no header may")
    return b"%b: %b\r\n" % (name, value)


#: What nearly every answer says, written once.
_LINES: Final = {
    pair: _line(*pair)
    for pair in (
        (b"content-type", b"application/json"),
        *((name.lower().encode(), value.encode()) for name, value in HEADERS.items()),
    )
}


class Cycle(RequestResponseCycle):
    """A request and its answer, which may be whole."""

    async def send(self, message: ASGISendEvent) -> None:
        """Send one message of the answer."""
        whole = cast("dict[str, Any]", message)
        if WHOLE not in whole:
            await super().send(message)
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        headers = (*self.default_headers, *whole["headers"])
        parts = [
            STATUS_LINE[whole["status"]],
            *[_LINES.get(pair) or _line(*pair) for pair in headers],
        ]
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        self.response_started = self.response_complete = True
        cast("Gathering", self.transport).write_now(b"".join((*parts, b"\r\n", whole[WHOLE])))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
