"""Messages come in as JSON, with files in it or not, or as a form with files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi import Request, Response
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.types import Message

from almenara.api.attachment_bodies import LARGEST_TOGETHER, MOST_FILES, decode_content
from almenara.api.body import UnreadableBodyError, check_value, parse_json
from almenara.api.strict import READ, StrictRoute, check_headers
from almenara.errors import FieldError
from almenara.settings import Settings

#: Smaller bodies are read at once; larger ones beside the event loop.
_SMALL = 65_536
_MOST_FIELDS = 64
#: Fields of a form that are JSON, and those that may stand in it several times.
_JSON_FIELDS = frozenset({"data", "metadata", "priority"})
_LIST_FIELDS = frozenset({"tags", "to"})
_FILES = "attachments"

#: What the API's description says of forms.
FORM: dict[str, Any] = {
    "requestBody": {
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "description": "The fields of a message, each as a part (`data` and `metadata` "
                    "as JSON, `tags` and `to` repeated), or all as JSON in `message`; files.",
                    "properties": {
                        "topic": {"type": "string"},
                        "description": {"type": "string"},
                        "title": {"type": "string"},
                        "message": {"type": "string", "contentMediaType": "application/json"},
                        "attachments": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        },
                    },
                }
            }
        }
    }
}


class MessageRoute(StrictRoute):
    """A route that takes a message as JSON or as ``multipart/form-data``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the strict handler."""
        handler = super().get_route_handler()

        async def incoming(request: Request) -> Response:
            if is_form(request):
                request = bringing(request, await _read_form(request))
            elif READ not in request.scope and _may_be_large(request):
                request = await _read_large(request)
            return await handler(request)

        return incoming


def is_form(request: Request) -> bool:
    """Tell whether a body is a form, which is always a message."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def bringing(
    request: Request, value: Any, *, headers: Iterable[tuple[bytes, bytes]] = ()
) -> Request:
    """Return a request that brings a body which was read already.

    Args:
        headers: what it brings besides those of the request.
    """
    kept = [
        (name, one)
        for name, one in request.scope["headers"]
        if name not in {b"content-type", b"content-encoding"}
    ]
    kept += [(b"content-type", b"application/json"), *headers]
    return Request({**request.scope, "headers": kept, READ: value}, _read_already)


async def _read_already() -> Message:
    return {"type": "http.request", "body": b"{}", "more_body": False}


def _may_be_large(request: Request) -> bool:
    """Tell whether a body is longer than is read at once; one that does not say so may be."""
    length = request.headers.get("content-length", "")
    return int(length) > _SMALL if length.isdigit() else "transfer-encoding" in request.headers


async def _read_large(request: Request) -> Request:
    """Read a large body of JSON; what is no file's content may be no larger than any body."""
    check_headers(request)
    value, rest = await asyncio.to_thread(_parse_with_files, await read_whole(request))
    _check_rest(request, rest)
    return bringing(request, value)


async def read_whole(request: Request) -> bytes:
    """Return the bytes of a body.

    Raises:
        UnreadableBodyError: whoever sends it has hung up.
    """
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise _broken_off() from error


def _broken_off() -> UnreadableBodyError:
    return UnreadableBodyError(400, "bad_request", "The body was broken off.")


def _parse_with_files(body: bytes) -> tuple[Any, int]:
    """Return a body's value, its files' contents decoded, and how long it is without them."""
    value = parse_json(body)
    files = value.get(_FILES) if isinstance(value, dict) else None
    rest = len(body)
    for one in files if isinstance(files, list) else ():
        content = one.get("content") if isinstance(one, dict) else None
        if isinstance(content, str):
            rest -= len(content)
            # What is no base64 is refused where its field can be named.
            with contextlib.suppress(ValueError):
                one["content"] = decode_content(content)
    check_value(value)
    return value, rest


async def _read_form(request: Request) -> dict[str, Any]:
    """Read a form: a part for each field, or all of them as JSON in ``message``; files."""
    parser = MultiPartParser(
        Headers(scope=request.scope),
        request.stream(),
        max_files=MOST_FILES,
        max_fields=_MOST_FIELDS,
        max_part_size=LARGEST_TOGETHER,
    )
    try:
        form = await parser.parse()
    except ClientDisconnect as error:
        raise _broken_off() from error
    except (MultiPartException, KeyError, ValueError) as error:
        said = getattr(error, "message", "its boundary is missing").rstrip(".")
        raise UnreadableBodyError(
            400, "invalid_form", f"The form cannot be read: {said[:200]}."
        ) from error
    try:
        return await _written_as_json(form, request)
    finally:
        await form.close()


async def _written_as_json(form: FormData, request: Request) -> dict[str, Any]:
    value: dict[str, Any] = {}
    lists: dict[str, list[str]] = {}
    files: list[dict[str, Any]] = []
    left, rest = LARGEST_TOGETHER, 0
    for name, part in form.multi_items():
        if isinstance(part, UploadFile):
            # One byte more than is allowed is enough to be refused by.
            content = await part.read(left + 1)
            left = max(0, left - len(content))
            files.append(_file(part, content))
            continue
        rest += len(part)
        if name == "message":
            value |= _whole(part)
        elif name in _LIST_FIELDS:
            lists.setdefault(name, []).append(part)
        else:
            value[name] = _field(name, part)
    _check_rest(request, rest)
    value |= lists
    check_value(value)
    return value | ({_FILES: files} if files else {})


def _whole(text: str) -> dict[str, Any]:
    """Return the message that stands in one part.

    Raises:
        UnreadableBodyError: it is no object of JSON.
    """
    try:
        value = parse_json(text.encode())
    except UnreadableBodyError as error:
        value, said = None, str(error.detail)
    else:
        said = "Write the fields of the message as an object of JSON."
    if isinstance(value, dict):
        return value
    wrong = FieldError(field="message", code="invalid_json", message=said)
    raise UnreadableBodyError(422, "invalid_input", f"message: {said}", (wrong,))


def _file(part: UploadFile, content: bytes) -> dict[str, Any]:
    made: dict[str, Any] = {"name": part.filename or "", "content": content}
    media_type = (part.content_type or "").partition(";")[0].strip()
    # What curl and browsers write when they do not know; the name may tell more.
    if media_type and media_type != "application/octet-stream":
        made["media_type"] = media_type
    return made


def _field(name: str, text: str) -> Any:
    if name not in _JSON_FIELDS:
        return text
    try:
        return parse_json(text.encode())
    except UnreadableBodyError:
        return text


def _check_rest(request: Request, rest: int) -> None:
    largest = _settings(request).max_body_bytes
    if rest > largest:
        raise UnreadableBodyError(
            413,
            "body_too_large",
            f"Without its attachments the body is larger than {largest:,} bytes, the limit here.",
        )


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings
