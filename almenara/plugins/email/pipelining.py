"""Commands to a mail server: in one packet where it offers that (RFC 2920), else one by one.

A mail to a hundred recipients is a hundred commands before its text, and as many waits for replies,
of which aiosmtplib reads one at a time. So its protocol steps aside while a group is under way, and
is put back at the end; what happens to the connection meanwhile, it is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from aiosmtplib import SMTP, SMTPResponseException, SMTPServerDisconnected, SMTPStatus
from aiosmtplib.response import SMTPResponse

#: The longest reply, with all its lines.
_LONGEST = 32_768
_CODE_LENGTH = 3


@contextmanager
def commands_sent(
    client: SMTP, commands: Sequence[str]
) -> Iterator[Callable[[], Awaitable[SMTPResponse]]]:
    """Send commands of which none needs the reply to another; give what waits for the next reply.

    Each wait lasts as long as the client's time-out at the most. Whoever leaves by an error has to
    close the connection: it is out of step.

    Raises:
        ValueError: a command is not one line of printable ASCII.
        SMTPServerDisconnected, TimeoutError: while waiting: the reply does not come.
        SMTPResponseException: while waiting, or at the end: what came is no reply to a command.
    """
    lines = [_line(command) for command in commands]
    if not client.supports_extension("pipelining"):
        left = iter(lines)
        yield lambda: client.execute_command(next(left))
        return
    transport = open_transport(client)
    beneath = cast(asyncio.Protocol, transport.get_protocol())
    replies = _Replies(beneath, client.timeout)
    transport.set_protocol(replies)
    try:
        transport.write(b"\r\n".join([*lines, b""]))
        yield replies.next
    finally:
        transport.set_protocol(beneath)
    replies.check_end()


def open_transport(client: SMTP) -> asyncio.WriteTransport:
    """Return what a connection is written to.

    Raises:
        SMTPServerDisconnected: it is closed, or is being closed.
    """
    transport = client.transport
    if transport is None or transport.is_closing():
        raise SMTPServerDisconnected("Connection lost")
    return cast(asyncio.WriteTransport, transport)


class _Replies(asyncio.Protocol):
    """Reads the replies to a group of commands.

    Args:
        beneath: the protocol whose place it takes.
        timeout_seconds: how long one reply may take.
    """

    def __init__(self, beneath: asyncio.Protocol, timeout_seconds: float | None) -> None:
        self._beneath = beneath
        self._timeout_seconds = timeout_seconds
        self._data = bytearray()
        self._news = asyncio.Event()
        self._over = False

    async def next(self) -> SMTPResponse:
        """Wait for the next reply."""
        reply = self._take()
        if reply is None:
            async with asyncio.timeout(self._timeout_seconds):
                while reply is None:
                    if self._over:
                        raise SMTPServerDisconnected("Connection lost")
                    self._news.clear()
                    await self._news.wait()
                    reply = self._take()
        return reply

    def check_end(self) -> None:
        """Refuse to go on where the server said more than it was asked."""
        if self._data:
            raise SMTPResponseException(SMTPStatus.invalid_response, "More replies than commands")

    def data_received(self, data: bytes) -> None:
        """Keep what came."""
        self._data += data
        self._news.set()

    def eof_received(self) -> bool | None:
        """Note that no more comes."""
        self._over = True
        self._news.set()
        return self._beneath.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """Note that no more comes."""
        self._over = True
        self._news.set()
        self._beneath.connection_lost(error)

    def pause_writing(self) -> None:
        """Pass it on."""
        self._beneath.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._beneath.resume_writing()

    def _take(self) -> SMTPResponse | None:
        """Take one reply off what came; none if it is not whole."""
        texts, begin = [], 0
        while (end := self._data.find(b"\n", begin)) >= 0:
            line = self._data[begin:end].decode("utf-8", "surrogateescape").rstrip()
            code = line[:_CODE_LENGTH]
            if not (len(code) == _CODE_LENGTH and code.isascii() and code.isdigit()):
                raise SMTPResponseException(SMTPStatus.invalid_response, f"Malformed reply: {line}")
            texts.append(line[_CODE_LENGTH + 1 :].strip())
            begin = end + 1
            if line[_CODE_LENGTH : _CODE_LENGTH + 1] != "-":
                del self._data[:begin]
                return SMTPResponse(int(code), "\n".join(texts))
        if len(self._data) > _LONGEST:
            raise SMTPResponseException(SMTPStatus.invalid_response, "Reply too long")
        return None


def _line(command: str) -> bytes:
    """Return a command's bytes; nothing in an address can make a second command of it."""
    if not (command.isascii() and command.isprintable()):
        raise ValueError("A command to a mail server is one line of printable ASCII.")
    return command.encode("ascii")
