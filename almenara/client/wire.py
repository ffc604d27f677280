"""One request and its answer as bytes, by h11: neither opens nor reads a connection itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import h11

from almenara.client.address import Address

#: What a query may hold; ``None`` is left out.
Query = Mapping[str, str | int | bool | None]

#: Takes a piece of an answer that is a file, and how many bytes there are in all.
Take = Callable[[bytes, int], None]

#: Methods that change nothing more when they are carried out twice.
_REPEATABLE = frozenset({"GET", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the server."""

    method: str
    #: From the root of the API, quoted.
    path: str
    query: Query | None = None
    #: Sent as JSON.
    body: Any = None
    headers: Mapping[str, str] | None = None
    #: Whether it can be sent again when nobody knows what became of it; ``None``: as its method.
    repeatable: bool | None = None
    #: Gets the answer in pieces, if it is a file.
    take: Take | None = None

    @property
    def may_be_repeated(self) -> bool:
        """Whether carrying it out twice is the same as once."""
        return self.method in _REPEATABLE if self.repeatable is None else self.repeatable


@dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    status: int
    #: By names in lower case.
    headers: Mapping[str, str]
    content: bytes


#: What every answer begins with.
_BEGIN = b"HTTP/"


class GarbledError(Exception):
    """What came is not HTTP, or not all of it."""


class CutError(EOFError):
    """The connection ended before the answer did."""


class Exchange:
    """A request on its way: ``sent`` goes out, ``take`` gets what comes in."""

    def __init__(self, address: Address, request: Request) -> None:
        self._request = request
        self._connection = h11.Connection(h11.CLIENT)
        self.sent = self._written(address)
        self._status: int | None = None
        self._headers: dict[str, str] = {}
        self._size: int | None = None
        self._came = 0
        self._pieces: list[bytes] = []

    @property
    def can_go_on(self) -> bool:
        """Whether the connection can carry another request now."""
        states = (self._connection.our_state, self._connection.their_state)
        return states == (h11.DONE, h11.DONE) and not self._connection.trailing_data[0]

    def feed(self, data: bytes) -> Response | None:
        """Take what came, and return the answer once it is whole.

        Args:
            data: empty when the connection has ended.

        Raises:
            CutError: the connection ended too early.
            GarbledError: this is not HTTP.
        """
        pending = self._connection.trailing_data[0]
        try:
            self._connection.receive_data(data)
            while (event := self._connection.next_event()) is not h11.NEED_DATA:
                if response := self._note(event):
                    return response
        except h11.RemoteProtocolError as error:
            other = self._status is None and not pending.startswith(_BEGIN[: len(pending)])
            raise (GarbledError if data or other else CutError) from error
        return None

    def _note(self, event: Any) -> Response | None:
        """Keep what an event brings; the last one makes the answer whole."""
        if isinstance(event, h11.Response):
            self._status = event.status_code
            self._headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in event.headers
            }
            length = self._headers.get("content-length")
            self._size = int(length) if length is not None else None
        elif isinstance(event, h11.Data):
            self._keep(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and self._status is not None:
            return Response(self._status, self._headers, b"".join(self._pieces))
        return None

    def _keep(self, piece: bytes) -> None:
        take = self._request.take
        if take is None or self._size is None or self._status != HTTPStatus.OK:
            self._pieces.append(piece)
            return
        self._came += len(piece)
        take(piece, self._size)

    @property
    def progress(self) -> tuple[int, int]:
        """How many bytes of a file came, and of how many."""
        return self._came, self._size or 0

    def _written(self, address: Address) -> bytes:
        request = self._request
        headers = address.headers | dict(request.headers or {})
        content = b""
        if request.body is not None:
            content = json.dumps(request.body).encode()
            headers["Content-Type"] = "application/json"
        if content or request.method not in {"GET", "DELETE"}:
            headers["Content-Length"] = str(len(content))
        head = h11.Request(
            method=request.method,
            target=address.prefix + request.path + _written_query(request.query),
            headers=list(headers.items()),
        )
        parts = [self._connection.send(head)]
        if content:
            parts.append(self._connection.send(h11.Data(data=content)))
        parts.append(self._connection.send(h11.EndOfMessage()))
        return b"".join(part for part in parts if part)


def _written_query(query: Query | None) -> str:
    given = {
        name: json.dumps(value) if isinstance(value, bool) else value
        for name, value in (query or {}).items()
        if value is not None
    }
    return f"?{urlencode(given)}" if given else ""
