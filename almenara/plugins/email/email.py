"""Mail over SMTP: one mail to the channel's recipients for each message."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict

from almenara import Message, PermanentError, Receipt

from .connections import Connections
from .failures import describe_refused, explained
from .oauth import Tokens, grant_of
from .opening import USUAL_PORTS, Door, Server, Tls
from .rendering import Mail, Sender, readable, render
from .settings import MailSettings, check_address

if TYPE_CHECKING:
    from almenara import BackgroundTasks


class _Addressed(TypedDict):
    """What of a mail comes from the channel."""

    sender: Sender
    recipients: list[str]
    hidden: bool
    subject_prefix: str


class Email:
    """Sends each message as one mail; many attempts may use an instance at once.

    The mail carries the same Message-ID in each attempt of a delivery, so that a duplicate is seen
    as one. The Message-ID is the receipt's reference.
    """

    carries_attachments = True

    class Settings(MailSettings):
        """What a mail channel needs to know; in the environment each name begins with MAIL_."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connections: dict[asyncio.AbstractEventLoop, Connections] = {}

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> Receipt:
        """Send one message as one mail.

        When it returns, the server has taken the mail for at least one recipient; the receipt's
        detail names those it refused.

        Raises:
            ChannelError: the server refuses the login, whatever the mail.
            PermanentError: the server will never take it (5xx), or the message names
                recipients that the channel does not allow.
            TemporaryError: the server does not take it now (4xx), or cannot be reached.
        """
        mail = await self._render(message)
        connections = self._here()
        with explained(connections.door):
            refused = await connections.send(mail)
        detail = describe_refused(refused, connections.door.hidden()) if refused else None
        return Receipt(
            reference=mail.message_id, detail=detail and f"Refused by the server: {detail}"
        )

    async def verify(self) -> str:
        """Connect, log in and leave; nothing is sent.

        Raises:
            ChannelError, PermanentError, TemporaryError: as sending would.
        """
        connections = self._here()
        with explained(connections.door):
            await connections.check()
        done = "took the login" if connections.door.logs_in else "answers; no login is set"
        return f"The mail server {connections.door.place} {done}."

    def preview(self, message: Message) -> dict[str, str]:
        """Return what a reader of the mail would see; nothing is sent.

        Raises:
            PermanentError: the message names recipients that the channel does not allow.
        """
        return readable(message, **self._addressed(message))

    async def close(self) -> None:
        """Close the connections that the running event loop holds; a later send opens new ones."""
        connections = self._connections.pop(asyncio.get_running_loop(), None)
        if connections is not None:
            await connections.close()

    def _here(self) -> Connections:
        """Return the running event loop's connections."""
        loop = asyncio.get_running_loop()
        if loop not in self._connections:
            ended = [other for other in self._connections if other.is_closed()]
            for other in ended:
                del self._connections[other]
            self._connections[loop] = Connections(_door(self._settings))
        return self._connections[loop]

    async def _render(self, message: Message) -> Mail:
        addressed = self._addressed(message)
        contents = [await one.read() for one in message.attachments]
        # Reading 256 KiB of HTML takes a while, and so does writing files.
        return await asyncio.to_thread(
            render, message, **addressed, now=datetime.now(UTC), contents=contents
        )

    def _addressed(self, message: Message) -> _Addressed:
        """Say from whom and to whom a message goes."""
        settings = self._settings
        return {
            "sender": Sender(settings.from_, settings.from_name, settings.reply_to),
            "recipients": list(dict.fromkeys(self._allowed(message.to) or settings.to)),
            "hidden": settings.hide_recipients,
            "subject_prefix": settings.subject_prefix,
        }

    def _allowed(self, recipients: Sequence[str]) -> list[str]:
        """Return a message's own recipients, if the channel allows each of them."""
        if recipients and not self._settings.allow_to:
            raise PermanentError(
                "This channel sends to the addresses in its own settings (`to`), not to those of a "
                "message: leave `to` out of the message, or name who may get mail in `allow_to`."
            )
        return [self._allowed_one(written) for written in recipients]

    def _allowed_one(self, written: str) -> str:
        try:
            address = check_address(written)
        except ValueError as error:
            raise PermanentError(f"A recipient in the message's `to` {error}") from error
        domain = address.rpartition("@")[2]
        if not {address.lower(), f"*@{domain.lower()}"}.intersection(self._settings.allow_to):
            raise PermanentError(
                f"This channel may not send to {address}: its setting `allow_to` does not name it."
            )
        return address


def _door(settings: Email.Settings) -> Door:
    return Door(_server(settings), _tokens(settings))


def _server(settings: Email.Settings) -> Server:
    """Gather what the connections need; the port follows from the kind of TLS."""
    tls: Tls = "implicit" if settings.ssl_tls else "starttls" if settings.starttls else "none"
    return Server(
        host=settings.server,
        port=settings.port or USUAL_PORTS[tls],
        tls=tls,
        username=settings.username,
        password=settings.password.get_secret_value(),
        validate_certs=settings.validate_certs,
        timeout_seconds=settings.timeout_seconds,
    )


def _tokens(settings: Email.Settings) -> Tokens | None:
    """Return what keeps the access token, where the channel logs in by one."""
    given = settings.oauth_access_token
    grant = grant_of(
        url=settings.oauth_token_url,
        client_id=settings.oauth_client_id,
        client_secret=settings.oauth_client_secret,
        refresh_token=settings.oauth_refresh_token,
        scope=settings.oauth_scope,
    )
    if given is None and grant is None:
        return None
    return Tokens(grant, given=given.get_secret_value() if given else "")
