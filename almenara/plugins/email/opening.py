"""How a connection to a mail server is opened: TLS, then the login by password or access token."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from aiosmtplib import SMTP, SMTPAuthenticationError

from almenara import ChannelError, TemporaryError

from .failures import is_refused_login
from .oauth import Tokens

Tls = Literal["none", "starttls", "implicit"]
USUAL_PORTS: dict[Tls, int] = {"none": 25, "starttls": 587, "implicit": 465}


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


class Door:
    """Opens connections for one event loop.

    Args:
        server: where to, and the login by password.
        tokens: the login by access token instead; absent: none.
    """

    def __init__(self, server: Server, tokens: Tokens | None) -> None:
        self.server = server
        self._tokens = tokens
        self._tls: ssl.SSLContext | None = None

    @property
    def place(self) -> str:
        """The server in error texts."""
        return self.server.place

    @property
    def logs_in(self) -> bool:
        """Whether there is a login."""
        return self._tokens is not None or bool(self.server.username)

    @property
    def advice(self) -> str:
        """What to do about a refused login."""
        if self._tokens is None:
            return (
                "check `username` and `password` of this channel; some providers want an app "
                "password"
            )
        return (
            "the access token is not, or no longer, good for the mailbox in `username`: check that "
            "it may send mail for it, and set it anew"
        )

    def hidden(self) -> list[str]:
        """Return what no error may show: the user name, the password, access tokens."""
        tokens = self._tokens.recent if self._tokens else ()
        return [text for text in (self.server.password, self.server.username, *tokens) if text]

    async def open(self) -> SMTP:
        """Connect and log in; a token that is refused is fetched anew, once."""
        if self._tokens is None:
            return await self._connect("")
        token = await self._tokens.current()
        try:
            return await self._connect(token)
        except SMTPAuthenticationError as error:
            if not is_refused_login(error) or not self._tokens.refused(token):
                raise
        return await self._connect(await self._tokens.current())

    async def _connect(self, token: str) -> SMTP:
        server = self.server
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
        async with closed_on_failure(client):
            await client.connect()
            client.local_hostname = _own_name(client)
            if server.tls == "starttls":
                await self._upgrade(client)
            if server.username:
                await self._log_in(client, token)
        return client

    async def _upgrade(self, client: SMTP) -> None:
        await client.ehlo()
        if not client.supports_extension("starttls"):
            raise TemporaryError(
                f"The mail server {self.server.place} does not offer STARTTLS; nothing is "
                "sent without it: check `port`, or set `ssl_tls` instead of `starttls`."
            )
        await client.starttls()

    async def _log_in(self, client: SMTP, token: str) -> None:
        await client.ehlo()
        if token:
            if "xoauth2" not in client.server_auth_methods:
                raise ChannelError(
                    f"The mail server {self.server.place} offers no login by access token "
                    "(XOAUTH2) here: set `starttls` or `ssl_tls`, or check `server`."
                )
            await client.auth_xoauth2(self.server.username, token)
            return
        if not client.supported_auth_methods:
            raise ChannelError(
                f"The mail server {self.server.place} offers no login by password here: set "
                "`starttls` or `ssl_tls`, or leave out `username`."
            )
        await client.login(self.server.username, self.server.password)

    async def _tls_context(self) -> ssl.SSLContext | None:
        """Make the TLS context, once; in a thread, because it reads the certificate store."""
        if self._tls is None and self.server.tls != "none":
            self._tls = await asyncio.to_thread(_new_context, self.server.validate_certs)
        return self._tls


@asynccontextmanager
async def closed_on_failure(client: SMTP) -> AsyncIterator[None]:
    """Close a connection whose conversation did not end as it should."""
    try:
        yield
    except BaseException:  # a cancelled conversation is out of step for ever
        client.close()
        raise


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
