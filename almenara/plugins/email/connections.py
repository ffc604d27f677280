"""The connections to one mail server, kept between mails.

At most :data:`CONNECTION_COUNT` are open at once. One comes back to be used again only after a mail
that the server took; after anything else, a cancellation included, it is closed, because it may be
out of step with the server. Nothing here ever sends a mail twice: a second try is made only on a
kept connection that proved dead before the server was told that data follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPStatus,
)
from aiosmtplib.response import SMTPResponse

from almenara import TemporaryError

from .opening import Door, closed_on_failure
from .rendering import Mail

CONNECTION_COUNT = 4
IDLE_SECONDS = 30.0
#: The server closes the connection.
_CLOSING = 421


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
    """Name the sender and the recipients; return the refused ones, if others were taken."""
    refused: list[SMTPRecipientRefused] = []
    async with closed_on_failure(client):
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
        sized = client.supports_extension("size")
        await client.mail(mail.sender, options=[f"SIZE={len(mail.content)}"] if sized else [])
        for recipient in mail.recipients:
            try:
                await client.rcpt(recipient)
            except SMTPRecipientRefused as error:
                if error.code == _CLOSING:
                    raise
                refused.append(error)
        if len(refused) == len(mail.recipients):
            raise SMTPRecipientsRefused(refused)
    return {error.recipient: SMTPResponse(error.code, error.message) for error in refused}


async def _hand_over(client: SMTP, content: bytes) -> None:
    """Send the data, whose lines end in CRLF already.

    The library's own way looks for line ends once more, and holds up the event loop for half a
    second where a mail has 10 MiB.
    """
    _expect(SMTPStatus.start_input, await client.execute_command(b"DATA"))
    stuffed = content.replace(b"\r\n.", b"\r\n..")  # RFC 5321, 4.5.2
    cast(asyncio.WriteTransport, client.transport).write(stuffed)
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
