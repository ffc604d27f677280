"""A file that a message brings, as a plugin sees it: what it is at once, its content when asked."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Self

from pydantic import BaseModel, ConfigDict, PrivateAttr

from almenara.errors import TemporaryError

#: Reads a content, piece by piece.
Pieces = Callable[[], AsyncIterator[bytes]]

#: What a file is when its name does not tell.
UNKNOWN_TYPE = "application/octet-stream"


class Attachment(BaseModel):
    """One file of a message.

    Its content stands in the database, and is read when it is asked for, in pieces of 256 KiB: an
    attempt that does not need it costs nothing.
    """

    model_config = ConfigDict(extra="forbid")

    #: A file's name, without a path.
    name: str
    #: Its media type, such as ``application/pdf``.
    media_type: str
    #: How long the content is, in bytes.
    size: int
    #: The content's SHA-256, in hexadecimal.
    sha256: str

    _pieces: Pieces | None = PrivateAttr(default=None)
    _loop: asyncio.AbstractEventLoop | None = PrivateAttr(default=None)

    def bound(self, pieces: Pieces) -> Self:
        """Return itself with a content to read; called in the event loop that reads it."""
        self._pieces = pieces
        self._loop = asyncio.get_running_loop()
        return self

    @classmethod
    def of(cls, name: str, content: bytes, media_type: str | None = None) -> Self:
        """Return a file that is in memory, as tests of plugins need it."""
        made = cls(
            name=name,
            media_type=media_type or guess_type(name),
            size=len(content),
            sha256=sha256(content).hexdigest(),
        )

        async def pieces() -> AsyncIterator[bytes]:
            yield content

        made._pieces = pieces
        return made

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the content piece by piece.

        Raises:
            TemporaryError: it cannot be read just now.
        """
        if self._pieces is None:
            raise TemporaryError(f"The content of the attachment {self.name} is not stored.")
        async for piece in self._pieces():
            yield piece

    async def read(self) -> bytes:
        """Return the whole content.

        Raises:
            TemporaryError: it cannot be read just now.
        """
        return b"".join([piece async for piece in self.chunks()])

    def read_bytes(self) -> bytes:
        """Return the whole content to a plugin whose method is not ``async``.

        Raises:
            TemporaryError: it cannot be read just now.
            RuntimeError: it was called in the event loop, which it would block.
        """
        if self._loop is None:
            return asyncio.run(self.read())
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            raise RuntimeError("In `async` code write `await attachment.read()`.")
        return asyncio.run_coroutine_threadsafe(self.read(), self._loop).result()


def guess_type(name: str) -> str:
    """Return the media type that a file's name tells."""
    return mimetypes.guess_type(name)[0] or UNKNOWN_TYPE
