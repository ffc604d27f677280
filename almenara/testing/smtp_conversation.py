"""One conversation of the mail server for tests, as aiosmtpd has it."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, cast

from aiosmtpd.smtp import MISSING, SMTP, AuthResult, Envelope, LoginPassword, Session

from almenara.testing.smtp_orders import Orders, ReceivedMail, Stage

#: The longest line of a login (RFC 4954, 4.): access tokens are long.
_LONGEST_LOGIN = 12_288


class Handler:
    """What one connection does at each command; aiosmtpd finds the methods by their names."""

    def __init__(self, orders: Orders, number: int) -> None:
        self._orders = orders
        self._number = number

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, name: str, replies: list[str]
    ) -> list[str]:
        """Greet back."""
        session.host_name = name
        reply = await self._answer(server, "EHLO")
        if self._orders.pipelining:
            replies.insert(1, "250-PIPELINING")
        return [reply] if reply else replies

    async def handle_AUTH(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, args: list[str]
    ) -> Any:
        """Refuse any login, or leave it to its mechanism."""
        return await self._answer(server, "AUTH") or MISSING

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802 - as above
        """Check a token as Google and Microsoft do: what is wrong stands in a challenge first."""
        given = base64.b64decode(args[1] if len(args) > 1 else "").decode()
        name, _, rest = given.removeprefix("user=").partition("\x01")
        token = rest.removeprefix("auth=Bearer ").removesuffix("\x01\x01")
        good = given == f"user={name}\x01auth=Bearer {token}\x01\x01"
        if good and (name, token) == self._orders.credentials:
            data = LoginPassword(name.encode(), token.encode())
            return AuthResult(success=True, auth_data=data)
        await server.challenge_auth('{"status":"400","schemes":"Bearer","scope":"mail"}')
        return AuthResult(success=False, handled=False)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, sender: str, options: list[str]
    ) -> str:
        """Note the sender, after the login that is required."""
        reply = await self._answer(server, "MAIL", sender)
        if reply is None and self._orders.credentials and not session.authenticated:
            reply = "530 5.7.0 Authentication required"
        if reply is None:
            envelope.mail_from = sender
        return reply or "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Note a recipient."""
        reply = await self._answer(server, "RCPT", address)
        if reply is None:
            envelope.rcpt_tos.append(address)
        return reply or "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Take the mail."""
        reply = await self._answer(server, "DATA")
        if reply is not None:
            return reply
        who: LoginPassword | None = session.auth_data if session.authenticated else None
        self._orders.mails.append(
            ReceivedMail(
                sender=envelope.mail_from or "",
                recipients=tuple(envelope.rcpt_tos),
                content=bytes(envelope.original_content or b""),
                session=self._number,
                login=who.login.decode() if who else None,
            )
        )
        return "250 OK: taken"

    async def handle_NOOP(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, argument: str
    ) -> str:
        """Answer."""
        return await self._answer(server, "NOOP") or "250 OK"

    async def handle_QUIT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Say goodbye."""
        return await self._answer(server, "QUIT") or "221 Bye"

    async def _answer(self, server: SMTP, stage: Stage, address: str | None = None) -> str | None:
        transport = cast(asyncio.Transport, server.transport)
        return await self._orders.answer(transport, self._number, stage, address)


class Protocol(SMTP):
    """Notes which connections are open; a login may be longer than a line of a mail."""

    line_length_limit = _LONGEST_LOGIN

    def __init__(self, handler: Handler, opened: set[Any], **options: Any) -> None:
        super().__init__(handler, **options)
        self.line_length_limit = SMTP.line_length_limit
        self.command_size_limits["AUTH"] = _LONGEST_LOGIN
        self._opened = opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that it is open: once more after STARTTLS, for the transport inside."""
        self._opened.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Note that it is closed."""
        self._opened -= {self.transport, self._original_transport}
        super().connection_lost(error)
