"""The connections to one mail server, kept between mails.

At most :data:`CONNECTION_COUNT` are open at once. One comes back to be used again only after a mail
that the server took; after anything else, a cancellation included, it is closed, because it may be
out of step with the server. Nothing here ever sends a mail twice: a second try is made only on a
kept connection that proved dead before the server was told that data follows.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
)
from aiosmtplib.response import SMTPResponse

from almenara import ChannelError, TemporaryError

from .rendering import Mail

CONNECTION_COUNT = 4
IDLE_SECONDS = 30.0
Tls = Literal["none", "starttls", "implicit"]
USUAL_PORTS: dict[Tls, int] = {"none": 25, "starttls": 587, "implicit": 465}
#: The server closes the connection.
_CLOSING = 421


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server, and how to come in."""

    host: str
    port: int
    tls: Tls = "none"
    username: str = ""
    password: str = field(default="", repr=False)
    validate_certs: bool = True
    #: For each step on the network: connecting, one command and its reply.
    timeout_seconds: float = 10.0

    @property
    def place(self) -> str:
        """The server in error texts."""
        return f"{self.host}:{self.port}"


class Connections:
    """The connections of one event loop; never to be used from another."""

    def __init__(self, server: Server, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._server = server
        self._idle_seconds = idle_seconds
        self._slots = asyncio.Semaphore(CONNECTION_COUNT)
        self._idle: dict[SMTP, asyncio.TimerHandle] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    async def send(self, mail: Mail) -> dict[str, SMTPResponse]:
        """Send one mail; return the recipients that the server refused, others took it.

        Raises:
            aiosmtplib.SMTPException, OSError: nobody took it; or, lost after the data, nobody
                knows.
        """
        async with self._slot():
            client, refused = await self._announce(mail)
            async with _closed_on_failure(client):
                await client.data(mail.content)
            self._keep(client)
        return refused

    async def check(self) -> None:
        """Connect, log in and leave on a new connection."""
        async with self._slot():
            client = await self._open()
            async with _closed_on_failure(client):
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
            async with asyncio.timeout(self._server.timeout_seconds):
                await self._slots.acquire()
        except TimeoutError as error:
            raise TemporaryError(
                f"All {CONNECTION_COUNT} connections to the mail server {self._server.place} "
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
        client = await self._open()
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

    async def _open(self) -> SMTP:
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            # Replaced below; without one, aiosmtplib asks the DNS, with no limit of time.
            local_hostname="localhost",
            timeout=server.timeout_seconds,
            use_tls=server.tls == "implicit",
            start_tls=False,
            tls_context=await self._tls_context(),
        )
        async with _closed_on_failure(client):
            await client.connect()
            client.local_hostname = _own_name(client)
            if server.tls == "starttls":
                await self._upgrade(client)
            if server.username:
                await self._log_in(client)
        return client

    async def _upgrade(self, client: SMTP) -> None:
        await client.ehlo()
        if not client.supports_extension("starttls"):
            raise TemporaryError(
                f"The mail server {self._server.place} does not offer STARTTLS; nothing is "
                "sent without it: check `port`, or set `ssl_tls` instead of `starttls`."
            )
        await client.starttls()

    async def _log_in(self, client: SMTP) -> None:
        await client.ehlo()
        if not client.supported_auth_methods:
            raise ChannelError(
                f"The mail server {self._server.place} offers no login by password here: set "
                "`starttls` or `ssl_tls`, or leave out `username`."
            )
        await client.login(self._server.username, self._server.password)

    async def _tls_context(self) -> ssl.SSLContext | None:
        """Make the TLS context, once; in a thread, because it reads the certificate store."""
        if self._tls is None and self._server.tls != "none":
            self._tls = await asyncio.to_thread(_new_context, self._server.validate_certs)
        return self._tls


@asynccontextmanager
async def _closed_on_failure(client: SMTP) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:  # a cancelled conversation is out of step for ever
        client.close()
        raise


async def _envelope(client: SMTP, mail: Mail) -> dict[str, SMTPResponse]:
    """Name the sender and the recipients; return the refused ones, if others were taken."""
    refused: list[SMTPRecipientRefused] = []
    async with _closed_on_failure(client):
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


def _own_name(client: SMTP) -> str:
    """Return the name for EHLO: the host's, or the address when that is no full name."""
    name = socket.gethostname()
    if "." in name and name.isascii():
        return name
    address = str(client.get_transport_info("sockname")[0])
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _new_context(validate_certs: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
