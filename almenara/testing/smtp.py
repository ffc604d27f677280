"""A real mail server on this machine that keeps each mail, and refuses what a test tells it to."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from almenara.testing.smtp_conversation import Handler, Protocol
from almenara.testing.smtp_orders import Orders

Tls = Literal["none", "starttls", "implicit"]
Mechanism = Literal["LOGIN", "PLAIN", "XOAUTH2"]

_MECHANISMS: tuple[Mechanism, ...] = ("LOGIN", "PLAIN", "XOAUTH2")
_TOO_LONG_SECONDS = 10.0

_T = TypeVar("_T")


class SmtpSink(Orders):
    """The server: ``with SmtpSink() as sink``; it listens at ``sink.host``, ``sink.port``.

    What it saw may be read at any time: ``mails``, ``commands``. It takes every mail but for what a
    test orders:

    - a recipient is unknown: ``sink.refuse("RCPT", "550 5.1.1 unknown", "bob@example.org")``;
    - the sender is refused: ``sink.refuse("MAIL", "553 5.7.1 not yours")``;
    - no login is good: ``sink.refuse("AUTH", "535 5.7.8 no")``;
    - the next mail is greylisted: ``sink.reply("RCPT", "451 4.7.1 come back later")``;
    - the connection is dropped: ``sink.hang_up_at("DATA")``.

    Args:
        tls: none, STARTTLS (required before MAIL), or TLS from the first byte.
        certificate: the server's TLS context, with its certificate.
        credentials: the user name, and the password or (XOAUTH2) the access token, that MAIL
            requires; absent: no login is offered. May be changed later.
        mechanisms: the ways to log in that are offered.
        pipelining: whether commands may come many at once (PIPELINING), as most servers offer.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        tls: Tls = "none",
        certificate: ssl.SSLContext | None = None,
        credentials: tuple[str, str] | None = None,
        mechanisms: Sequence[Mechanism] = ("LOGIN", "PLAIN"),
        pipelining: bool = True,
    ) -> None:
        if tls != "none" and certificate is None:
            raise ValueError("TLS needs a certificate: give an `ssl.SSLContext` that has one.")
        super().__init__(credentials, pipelining=pipelining)
        self.port = 0
        self.session_count = 0
        self._tls = tls
        self._certificate = certificate
        self._mechanisms = mechanisms if credentials else ()
        self._open: set[Any] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp-sink")

    def __enter__(self) -> Self:
        """Begin to serve, in a thread of its own."""
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections; the address refuses new ones then."""
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

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

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_TOO_LONG_SECONDS)

    async def _start(self) -> None:
        self._server = await self._loop.create_server(
            self._protocol,
            self.host,
            0,
            ssl=self._certificate if self._tls == "implicit" else None,
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
        return Protocol(
            Handler(self, self.session_count),
            self._open,
            loop=self._loop,
            hostname="sink.example.org",
            enable_SMTPUTF8=False,
            tls_context=self._certificate if starttls else None,
            require_starttls=starttls,
            auth_require_tls=starttls,
            authenticator=self._authenticate,
            auth_exclude_mechanism=[one for one in _MECHANISMS if one not in self._mechanisms],
        )

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self.credentials, handled=False, auth_data=data)
