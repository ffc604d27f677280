"""Routes that take JSON and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from email.message import Message as HeaderParser
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from almenara.api.body import UnreadableBodyError, parse_json, read_json

#: Where a request's scope holds a body that was read already.
READ = "almenara.read_body"


class StrictRequest(Request):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        """Return the body's value.

        Raises:
            UnreadableBodyError: 400 for what is not JSON, 422 for what may not stand in it.
        """
        if READ in self.scope:
            return self.scope[READ]
        return read_json(await self.body())


class BatchRequest(Request):
    """A request whose JSON is parsed strictly; its items' values are for the route to check."""

    async def json(self) -> Any:
        """Return the body's value.

        Raises:
            UnreadableBodyError: 400 for what is not JSON.
        """
        return parse_json(await self.body())


class StrictRoute(APIRoute):
    """A route that takes JSON and nothing else."""

    request_class: type[Request] = StrictRequest

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler: check the headers, then read strictly."""
        handler = super().get_route_handler()
        field = self.body_field
        takes_body = field is not None
        may_be_left_out = field is not None and not field.field_info.is_required()

        async def strict_handler(request: Request) -> Response:
            if takes_body and not (may_be_left_out and _is_empty(request)):
                check_headers(request)
            return await handler(self.request_class(request.scope, request.receive))

        return strict_handler


class BatchRoute(StrictRoute):
    """A strict route where one item's value hurts no other item."""

    request_class = BatchRequest


def check_headers(request: Request) -> None:
    """Refuse bodies that do not say that they are plain UTF-8 JSON.

    Raises:
        UnreadableBodyError: 415.
    """
    if request.headers.get("content-type") == "application/json" and (
        "content-encoding" not in request.headers
    ):
        return  # what nearly everybody writes; parsing it costs more than the whole check
    header = HeaderParser()
    header["content-type"] = request.headers.get("content-type", "")
    subtype = header.get_content_subtype()
    is_json = header.get_content_maintype() == "application" and (
        subtype == "json" or subtype.endswith("+json")
    )
    charset = str(header.get_param("charset", "utf-8")).lower()
    if not is_json or charset not in {"utf-8", "utf8"}:
        raise UnreadableBodyError(
            415,
            "unsupported_media_type",
            "Send JSON, with the header Content-Type: application/json.",
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnreadableBodyError(
            415, "unsupported_media_type", "Send the body as it is, without Content-Encoding."
        )


def _is_empty(request: Request) -> bool:
    """Tell whether a request says that it brings no body."""
    headers = request.headers
    return headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
