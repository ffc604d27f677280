"""A real SMTP server for tests (aiosmtpd) that records each mail before it answers.

It runs in a thread of its own, so that synchronous tests and servers in other processes can use it:

    with SmtpReceiver() as receiver:
        ...  # send to receiver.host, receiver.port
        [mail] = receiver.mails
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import defaultdict, deque
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Literal, Self, cast

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

Stage = Literal["EHLO", "MAIL", "RCPT", "DATA", "NOOP", "QUIT"]
Tls = Literal["none", "starttls", "implicit"]
_TOO_LONG_SECONDS = 10.0


@dataclass(frozen=True)
class ReceivedMail:
    """One mail as it arrived."""

    sender: str
    recipients: tuple[str, ...]
    #: The bytes after undoing the dots, as the server would store them.
    content: bytes
    #: Which connection it came over, counted from 1.
    session: int
    #: Who had logged in, if anybody.
    login: str | None

    @property
    def parsed(self) -> EmailMessage:
        return message_from_bytes(self.content, policy=policy.default)

    @property
    def text(self) -> str:
        """The plain text, with its line ends as LF."""
        return self._body("plain")

    @property
    def html(self) -> str:
        return self._body("html")

    def _body(self, kind: str) -> str:
        part = self.parsed.get_body((kind,))
        assert part is not None
        return str(part.get_content()).replace("\r\n", "\n")


class SmtpReceiver:
    """The server; everything it saw may be read at any time.

    Args:
        tls: none, STARTTLS (required before MAIL), or TLS from the first byte.
        credentials: user name and password that MAIL requires.
        authority: signs the certificate; `trust_file` hands it to clients.
        name: what the certificate is for.
        login_reply: what a refused login is answered.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        tls: Tls = "none",
        credentials: tuple[str, str] | None = None,
        authority: trustme.CA | None = None,
        name: str = "127.0.0.1",
        login_reply: str | None = None,
    ) -> None:
        self.port = 0
        self.mails: list[ReceivedMail] = []
        #: Each command with the number of its connection: (1, "MAIL"), ...
        self.commands: list[tuple[int, str]] = []
        self.session_count = 0
        self._tls = tls
        self._credentials = credentials
        self._login_reply = login_reply
        self._context = _context(authority, name) if authority and tls != "none" else None
        self._replies: dict[str, deque[str | None]] = defaultdict(deque)
        self._refused: dict[str, str] = {}
        self._held: dict[str, asyncio.Event] = {}
        self._open: set[Any] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp-receiver")

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def reply(self, stage: Stage, *replies: str) -> None:
        """Answer the next commands of this kind with these replies, one each."""
        self._replies[stage].extend(replies)

    def hang_up_at(self, stage: Stage) -> None:
        """Close the connection at the next command of this kind, without an answer."""
        self._replies[stage].append(None)

    def refuse_recipient(self, address: str, reply: str) -> None:
        """Answer each RCPT for this address with this reply."""
        self._refused[address] = reply

    def hold(self, stage: Stage) -> None:
        """Answer no command of this kind until `let_go`."""
        self._held[stage] = asyncio.Event()

    def let_go(self, stage: Stage) -> None:
        self._loop.call_soon_threadsafe(self._held.pop(stage).set)

    def hang_up(self) -> None:
        """Close all connections from this side, as a server does with idle ones."""

        async def close() -> None:
            for transport in list(self._open):
                transport.close()

        self._run(close())

    @property
    def open_count(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def count(self, stage: Stage) -> int:
        """How many commands of this kind came."""
        return sum(command == stage for _, command in self.commands)

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_TOO_LONG_SECONDS)

    async def _start(self) -> None:
        self._server = await self._loop.create_server(
            self._protocol,
            self.host,
            0,
            ssl=self._context if self._tls == "implicit" else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for event in self._held.values():
            event.set()
        for transport in list(self._open):
            transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # lets the transports run their last callbacks

    def _protocol(self) -> SMTP:
        starttls = self._tls == "starttls"
        self.session_count += 1
        return _Protocol(
            self,
            number=self.session_count,
            loop=self._loop,
            hostname="receiver.example.org",
            enable_SMTPUTF8=False,
            tls_context=self._context if starttls else None,
            require_starttls=starttls,
            auth_require_tls=starttls,
            authenticator=self._authenticate,
            auth_exclude_mechanism=() if self._credentials else ("LOGIN", "PLAIN"),
        )

    def opened(self, transport: Any) -> None:
        self._open.add(transport)

    def lost(self, transport: Any) -> None:
        self._open.discard(transport)

    def _authenticate(
        self, server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        right = given == self._credentials
        return AuthResult(
            success=right,
            handled=False,
            message=None if right else self._login_reply,
            auth_data=data,
        )

    async def _answer(self, server: Any, stage: Stage) -> str | None:
        """Record a command and give the reply that was ordered for it."""
        self.commands.append((server.number, stage))
        if stage in self._held:
            await self._held[stage].wait()
        if not self._replies[stage]:
            return None
        reply = self._replies[stage].popleft()
        if reply is None:
            server.transport.abort()
            await asyncio.sleep(_TOO_LONG_SECONDS)  # ended by the abort
        return reply

    async def handle_EHLO(  # noqa: N802 -- aiosmtpd's names, here and below
        self, server: Any, session: Session, envelope: Envelope, name: str, replies: list[str]
    ) -> list[str]:
        session.host_name = name
        reply = await self._answer(server, "EHLO")
        return [reply] if reply else replies

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Session, envelope: Envelope, sender: str, options: list[str]
    ) -> str:
        reply = await self._answer(server, "MAIL")
        if reply is None and self._credentials and not session.authenticated:
            reply = "530 5.7.0 Authentication required"
        if reply is None:
            envelope.mail_from = sender
        return reply or "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = await self._answer(server, "RCPT") or self._refused.get(address)
        if reply is None:
            envelope.rcpt_tos.append(address)
        return reply or "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Session, envelope: Envelope
    ) -> str:
        reply = await self._answer(server, "DATA")
        if reply is not None:
            return reply
        who = cast(LoginPassword, session.auth_data) if session.authenticated else None
        assert envelope.mail_from is not None
        self.mails.append(
            ReceivedMail(
                sender=envelope.mail_from,
                recipients=tuple(envelope.rcpt_tos),
                content=bytes(cast(bytes, envelope.original_content)),
                session=server.number,
                login=who.login.decode() if who else None,
            )
        )
        return "250 OK: taken"

    async def handle_NOOP(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Session, envelope: Envelope, argument: str
    ) -> str:
        return await self._answer(server, "NOOP") or "250 OK"

    async def handle_QUIT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Session, envelope: Envelope
    ) -> str:
        return await self._answer(server, "QUIT") or "221 Bye"


class _Protocol(SMTP):
    """Tells the receiver which connections are open."""

    def __init__(self, receiver: SmtpReceiver, *, number: int, **options: Any) -> None:
        super().__init__(receiver, **options)
        self.number = number

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.event_handler.opened(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.event_handler.lost(self.transport)
        if self._original_transport is not None:
            self.event_handler.lost(self._original_transport)
        super().connection_lost(error)


def _context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context
