"""Parses the JSON of a request and drops it, with no framework and no database.

It is as fast as an endpoint in Python can be behind the server that Almenara runs on, and it shows
how fast the load generator is.
"""

from __future__ import annotations

import json
from typing import Any

#: About as long as Almenara's answer.
_BODY = b'{"id":"' + b"0" * 150 + b'"}'
_START = {
    "type": "http.response.start",
    "status": 202,
    "headers": [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(_BODY)).encode()),
    ],
}
_END = {"type": "http.response.body", "body": _BODY}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Read a request, and answer 202."""
    if scope["type"] != "http":
        return
    json.loads(await receive_body(receive))
    await answer(send)


async def receive_body(receive: Any) -> bytes:
    """Return the body of a request."""
    body, more = b"", True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    return body


async def answer(send: Any) -> None:
    """Answer 202."""
    await send(_START)
    await send(_END)
