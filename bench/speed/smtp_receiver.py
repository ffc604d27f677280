"""The mail server that both sides send to: a process of its own, as cheap as Python can make it.

`python -m bench.speed.smtp_receiver` serves on any free port of loopback and says where in one line
of JSON, as `almenara serve` does. It takes every mail, offers what relays offer (PIPELINING, SIZE,
8BITMIME), and keeps nothing but counts: the verb `XCOUNT` is answered with them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

_HELLO = b"250-receiver.example.org\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250 8BITMIME\r\n"
_DONE = b"250 2.0.0 Ok\r\n"
_END_OF_DATA = b"\r\n.\r\n"


@dataclass
class Counts:
    """What came so far."""

    connections: int = 0
    mails: int = 0
    #: Of all mails together: whoever is in two mails counts twice.
    recipients: int = 0
    bytes: int = 0


class Conversation(asyncio.Protocol):
    """One connection; commands on it may come many at once."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._buffer = bytearray()
        self._recipients = 0
        self._in_data = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._counts.connections += 1
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(b"220 receiver.example.org ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer every command that is whole, in one packet."""
        self._buffer += data
        replies: list[bytes] = []
        while (reply := self._next()) is not None:
            replies.append(reply)
        if replies and self._transport is not None:
            self._transport.write(b"".join(replies))
            if replies[-1].startswith(b"221"):
                self._transport.close()

    def _next(self) -> bytes | None:
        """Take one command, or one mail, off the buffer; none while it is not whole."""
        end = self._buffer.find(_END_OF_DATA if self._in_data else b"\r\n")
        if end < 0:
            return None
        if self._in_data:
            return self._take(end)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return self._answer(line)

    def _take(self, end: int) -> bytes:
        del self._buffer[: end + len(_END_OF_DATA)]
        self._counts.mails += 1
        self._counts.recipients += self._recipients
        self._counts.bytes += end
        self._recipients, self._in_data = 0, False
        return _DONE

    def _answer(self, line: bytes) -> bytes:
        match line[:4].upper():
            case b"RCPT":
                self._recipients += 1
            case b"EHLO":
                return _HELLO
            case b"DATA":
                self._in_data = self._recipients > 0
                return (
                    b"354 End data with <CR><LF>.<CR><LF>\r\n" if self._in_data else b"503 No\r\n"
                )
            case b"MAIL" | b"RSET":
                self._recipients = 0
            case b"QUIT":
                return b"221 2.0.0 Bye\r\n"
            case b"XCOU":
                return b"250 " + json.dumps(asdict(self._counts)).encode() + b"\r\n"
            case b"NOOP":
                pass
            case _:
                return b"502 5.5.2 Not known\r\n"
        return _DONE


async def serve() -> None:
    """Serve until the process is killed."""
    counts = Counts()
    server = await asyncio.get_running_loop().create_server(
        lambda: Conversation(counts), "127.0.0.1", 0, backlog=1024
    )
    port = server.sockets[0].getsockname()[1]
    line = {"event": "serving", "url": f"smtp://127.0.0.1:{port}"}
    print(json.dumps(line), file=sys.stderr, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
