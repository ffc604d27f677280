"""A form as a server reads it, by Starlette's reader, which stands on python-multipart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartParser

from almenara.testing import Received


@dataclass(frozen=True)
class FilePart:
    """One file of a form."""

    #: As it was before what breaks a header was escaped.
    name: str
    media_type: str | None
    content: bytes


async def read_form(body: bytes, content_type: str) -> dict[str, str | FilePart]:
    """Return the fields and files of a form by their names, in their order."""

    async def stream() -> AsyncIterator[bytes]:
        yield body

    parser = MultiPartParser(Headers({"Content-Type": content_type}), stream())
    form = await parser.parse()
    read: dict[str, str | FilePart] = {}
    for name, value in form.multi_items():
        assert name not in read
        if isinstance(value, UploadFile):
            content = await value.read()
            read[name] = FilePart(unquote(value.filename or ""), value.content_type, content)
        else:
            read[name] = value
    await form.close()
    return read


async def form_of(arrived: Received) -> dict[str, str | FilePart]:
    """Return the form that a service received."""
    return await read_form(arrived.body, arrived.headers["Content-Type"])
