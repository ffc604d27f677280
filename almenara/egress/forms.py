"""A body of fields and files, as forms of browsers have it: ``multipart/form-data`` (RFC 7578)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from almenara.attachment import UNKNOWN_TYPE, Attachment

#: What a media type may look like; no other is written into a header.
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+")
#: As browsers write what would end a name (WHATWG HTML, "multipart/form-data").
_ESCAPED = {'"': "%22", "\r": "%0D", "\n": "%0A"}


async def multipart(
    fields: Mapping[str, str], files: Mapping[str, Attachment]
) -> tuple[bytes, str]:
    """Return a body of fields and then files, and its ``Content-Type``.

    Names are UTF-8. The files are read here, and stand in memory as a whole.

    Args:
        fields: texts, by the names of their fields.
        files: files, by the names of theirs.

    Raises:
        TemporaryError: a file cannot be read just now.
    """
    # Nobody who wrote a field or a file knows this number.
    boundary = f"almenara-{secrets.token_hex(16)}"
    parts: list[bytes] = []
    for name, text in fields.items():
        parts += [_head(boundary, name), text.encode("utf-8", "replace"), b"\r\n"]
    for name, file in files.items():
        parts += [_head(boundary, name, file), *[piece async for piece in file.chunks()], b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


def _head(boundary: str, name: str, file: Attachment | None = None) -> bytes:
    """Return what stands before a part's content."""
    lines = f'--{boundary}\r\nContent-Disposition: form-data; name="{_escape(name)}"'
    if file is not None:
        known = _MEDIA_TYPE.fullmatch(file.media_type)
        lines += f'; filename="{_escape(file.name)}"'
        lines += f"\r\nContent-Type: {file.media_type if known else UNKNOWN_TYPE}"
    return f"{lines}\r\n\r\n".encode("utf-8", "replace")


def _escape(name: str) -> str:
    for character, escaped in _ESCAPED.items():
        name = name.replace(character, escaped)
    return name
