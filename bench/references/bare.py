"""Answers at once, with no framework and no database: shows how fast the load generator is."""

from __future__ import annotations

from typing import Any

#: About as long as Almenara's answer.
_BODY = b'{"id":"' + b"0" * 300 + b'"}'
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
    """Read the body of a request, and answer 202."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    await send(_END)
