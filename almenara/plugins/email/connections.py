"""The connections to one mail server, kept between mails.

At most :data:`CONNECTION_COUNT` are open at once. One comes back to be used again only after a mail
that the server took; after anything else, a cancellation included, it is closed, because it may be
out of step with the server. Nothing here ever sends a mail twice: a second try is made only when a
kept connection proved dead before any of the data was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPStatus,
)
from aiosmtplib.response import SMTPResponse

from almenara import TemporaryError

from .opening import Door, closed_on_failure
from .pipelining import commands_sent, open_transport
from .rendering import Mail

CONNECTION_COUNT = 4
IDLE_SECONDS = 30.0
#: The server closes the connection.
_CLOSING = 421
#: The server takes a recipient, or passes the mail on for it.
_TAKEN = frozenset({SMTPStatus.completed, SMTPStatus.will_forward})


class Connections:
    """The connections of one event loop; never to be used from another.

    Args:
        door: opens them.
        idle_seconds: how long one is kept between mails.
    """

    def __init__(self, door: Door, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self.door = door
        self._idle_seconds = idle_seconds
        self._slots = asyncio.Semaphore(CONNECTION_COUNT)
        self._idle: dict[SMTP, asyncio.TimerHandle] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    async def send(self, mail: Mail) -> dict[str, SMTPResponse]:
        """Send one mail; return the recipients that the server refused, others took it.

        Raises:
            aiosmtplib.SMTPException, OSError: nobody took it; or, lost after the data, nobody
                knows.
        """
        async with self._slot():
            client, refused = await self._announce(mail)
            async with closed_on_failure(client):
                await _hand_over(client, mail.content)
            self._keep(client)
        return refused

    async def check(self) -> None:
        """Connect, log in and leave on a new connection."""
        async with self._slot():
            client = await self.door.open()
            async with closed_on_failure(client):
                await client.noop()
                await client.quit()

    async def close(self) -> None:
        """Close what is idle; what is in use is closed when its mail is through."""
        self._closed = True
        while self._idle:
            self._retire(next(iter(self._idle)))
        await asyncio.gather(*self._leaving)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Wait for leave to use a connection, as long as one step may take."""
        try:
            async with asyncio.timeout(self.door.server.timeout_seconds):
                await self._slots.acquire()
        except TimeoutError as error:
            raise TemporaryError(
                f"All {CONNECTION_COUNT} connections to the mail server {self.door.server.place} "
                "stayed busy; lower the channel's concurrency if this lasts."
            ) from error
        try:
            yield
        finally:
            self._slots.release()

    async def _announce(self, mail: Mail) -> tuple[SMTP, dict[str, SMTPResponse]]:
        """Give a server the envelope; a kept connection that turns out dead is replaced once."""
        kept = self._take()
        if kept is not None:
            try:
                return kept, await _envelope(kept, mail)
            except (SMTPException, OSError) as error:
                if not _lost(error):
                    raise
        client = await self.door.open()
        return client, await _envelope(client, mail)

    def _take(self) -> SMTP | None:
        while self._idle:
            client, timer = self._idle.popitem()
            timer.cancel()
            if client.is_connected:
                return client
        return None

    def _keep(self, client: SMTP) -> None:
        timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._retire, client)
        self._idle[client] = timer
        if self._closed:
            self._retire(client)

    def _retire(self, client: SMTP) -> None:
        """Leave an idle connection politely, without waiting for it."""
        self._idle.pop(client).cancel()
        task = asyncio.get_running_loop().create_task(_leave(client))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


async def _envelope(client: SMTP, mail: Mail) -> dict[str, SMTPResponse]:
    """Name the sender and the recipients, and say that data follows; return who was refused."""
    refused: list[SMTPRecipientRefused] = []
    async with closed_on_failure(client):
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
        size = f" SIZE={len(mail.content)}" if client.supports_extension("size") else ""
        commands = [f"MAIL FROM:<{mail.sender}>{size}"]
        commands += [f"RCPT TO:<{recipient}>" for recipient in mail.recipients]
        commands += ["DATA"]
        with commands_sent(client, commands) as reply:
            code, text = await reply()
            if code != SMTPStatus.completed:
                raise SMTPSenderRefused(code, text, mail.sender)
            for recipient in mail.recipients:
                code, text = await reply()
                if code not in _TAKEN:
                    refused.append(SMTPRecipientRefused(code, text, recipient))
                if code == _CLOSING:
                    raise refused[-1]
            if len(refused) == len(mail.recipients):
                raise SMTPRecipientsRefused(refused)
            _expect(SMTPStatus.start_input, await reply())
    return {error.recipient: SMTPResponse(error.code, error.message) for error in refused}


async def _hand_over(client: SMTP, content: bytes) -> None:
    """Send the data, which the server waits for, and whose lines end in CRLF already.

    The library's own way looks for line ends once more, and holds up the event loop for half a
    second where a mail has 10 MiB.
    """
    stuffed = content.replace(b"\r\n.", b"\r\n..")  # RFC 5321, 4.5.2
    open_transport(client).write(stuffed)
    _expect(SMTPStatus.completed, await client.execute_command(b"."))


def _expect(status: SMTPStatus, reply: SMTPResponse) -> None:
    if reply.code != status:
        raise SMTPDataError(reply.code, reply.message)


async def _leave(client: SMTP) -> None:
    try:
        with suppress(SMTPException, OSError):
            await client.quit()
    finally:
        client.close()


def _lost(error: Exception) -> bool:
    """Tell whether a connection is gone, as against a mail that was refused over it."""
    if isinstance(error, SMTPResponseException):
        return error.code == _CLOSING
    return isinstance(error, OSError)
