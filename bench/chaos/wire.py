"""A wire to a server that can fall silent, be cut, be slow: TCP, byte for byte."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

_PIECE_BYTES = 65_536


class Wire:
    """Stands between the product and one server.

    Args:
        url: the server's; :attr:`url` is the same at this end.
        host: the address at this end.
    """

    def __init__(self, url: str, *, host: str = "127.0.0.1") -> None:
        self._far = urlsplit(url)
        self._host = host
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._talks = asyncio.Event()
        self._talks.set()
        #: How long each piece takes on its way, in seconds.
        self.delay_seconds = 0.0

    async def start(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_server(self._carry, self._host, 0)

    @property
    def url(self) -> str:
        """The server's URL at this end."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        user, at, _ = self._far.netloc.rpartition("@")
        return urlunsplit(self._far._replace(netloc=f"{user}{at}{self._host}:{port}"))

    def hush(self) -> None:
        """Let nothing through any more, and tell nobody."""
        self._talks.clear()

    def talk(self) -> None:
        """Let everything through again, what was held back first."""
        self._talks.set()

    def reset(self) -> None:
        """Break every connection; new ones are let through."""
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    def close(self) -> None:
        """End it."""
        if self._server is not None:
            self._server.close()
        self.talk()
        self.reset()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(
                self._far.hostname, self._far.port
            )
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, far_writer}
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        self._open -= {writer, far_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_PIECE_BYTES):
                await self._talks.wait()
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                writer.write(data)
                await writer.drain()
        writer.close()
