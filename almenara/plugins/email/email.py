"""Mail over SMTP: one mail to the channel's recipients for each message."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Self, TypedDict

from aiosmtplib.response import SMTPResponse
from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from almenara import (
    BackgroundTasks,
    Message,
    PermanentError,
    PluginSettings,
    Receipt,
    SecretStr,
)

from .connections import USUAL_PORTS, Connections, Server, Tls
from .failures import describe_refused, explained
from .rendering import Mail, Sender, readable, render

#: A host name, an IPv4 or an IPv6 address, by its letters.
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")


def _address(value: str) -> str:
    """Check one address by its form alone; a domain name is written in ASCII (IDNA)."""
    try:
        valid = validate_email(
            value,
            check_deliverability=False,
            globally_deliverable=False,  # a relay in the house may know names without a dot
            allow_smtputf8=False,
        )
    except EmailNotValidError as error:
        raise ValueError(f"must be one address such as ana@example.org. {error}") from error
    return str(valid.ascii_email)


def _host(value: str) -> str:
    """Check a host name by its form; the network would fail on it with a worse error."""
    try:
        written = value.encode("idna").decode("ascii")
    except UnicodeError:
        written = ""
    if not _HOST.fullmatch(written):
        raise ValueError("must be a host name such as smtp.example.org, or an address")
    return value


def _pattern(value: str) -> str:
    """Check what recipients are compared with: an address, or all of one domain."""
    beginning, _, domain = value.rpartition("@")
    if beginning == "*":
        return "*@" + _address(f"anybody@{domain}").rpartition("@")[2].lower()
    if "*" in value:
        raise ValueError("a * stands alone before the @: *@example.org")
    return _address(value).lower()


Address = Annotated[str, AfterValidator(_address)]
Pattern = Annotated[str, AfterValidator(_pattern)]


class _Addressed(TypedDict):
    """What of a mail comes from the channel."""

    sender: Sender
    recipients: list[str]
    subject_prefix: str


class Email:
    """Sends each message as one mail; many attempts may use an instance at once.

    The mail carries the same Message-ID in each attempt of a delivery, so that a duplicate is seen
    as one. The Message-ID is the receipt's reference.
    """

    class Settings(PluginSettings):
        """What a mail channel needs to know; in the environment each name begins with MAIL_."""

        model_config = SettingsConfigDict(env_prefix="MAIL_", env_ignore_empty=True)

        server: Annotated[str, AfterValidator(_host)] = Field(
            description="The mail server's name or address."
        )
        port: int | None = Field(
            default=None,
            ge=1,
            le=65535,
            description="Its port. Absent: 465 with `ssl_tls`, 587 with `starttls`, else 25.",
        )
        username: str = Field(default="", description="The login; absent: no login.")
        password: SecretStr = Field(default=SecretStr(""), description="The login's password.")
        from_: Address = Field(alias="from", description="The address the mail comes from.")
        from_name: str = Field(
            default="", max_length=200, description="The name shown before that address."
        )
        to: list[Address] = Field(
            min_length=1,
            max_length=100,
            description="Who gets the mail: one or more addresses, with commas.",
        )
        allow_to: list[Pattern] = Field(
            default=[],
            max_length=100,
            description="Which recipients a message may name in its own `to`, in place of these: "
            "addresses, or all of a domain as `*@example.org`, with commas. Absent: none.",
        )
        reply_to: Address | None = Field(
            default=None, description="Where answers go, if not to `from`."
        )
        starttls: bool = Field(
            default=False,
            description="Encrypt after connecting (STARTTLS); never sends if that is not offered.",
        )
        ssl_tls: bool = Field(default=False, description="Encrypt from the first byte.")
        validate_certs: bool = Field(
            default=True, description="Check the server's certificate; off only for tests."
        )
        subject_prefix: str = Field(
            default="", max_length=100, description="Stands before each subject."
        )
        timeout_seconds: float = Field(
            default=10.0, ge=0.1, le=60, description="The longest wait for one step of the server."
        )

        @model_validator(mode="after")
        def _check_tls(self) -> Self:
            if self.starttls and self.ssl_tls:
                raise ValueError(
                    "starttls and ssl_tls exclude each other: take ssl_tls for port 465, "
                    "starttls for port 587"
                )
            return self

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server = _server(settings)
        self._hidden = tuple(filter(None, (self._server.password, self._server.username)))
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
        with explained(self._server.place, self._hidden):
            refused = await self._here().send(mail)
        return Receipt(reference=mail.message_id, detail=self._detail(refused))

    async def verify(self) -> str:
        """Connect, log in and leave; nothing is sent.

        Raises:
            ChannelError, PermanentError, TemporaryError: as sending would.
        """
        with explained(self._server.place, self._hidden):
            await self._here().check()
        done = "took the login" if self._server.username else "answers; no login is set"
        return f"The mail server {self._server.place} {done}."

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
            self._connections[loop] = Connections(self._server)
        return self._connections[loop]

    async def _render(self, message: Message) -> Mail:
        addressed = self._addressed(message)
        # Reading 256 KiB of HTML takes a while.
        return await asyncio.to_thread(render, message, **addressed, now=datetime.now(UTC))

    def _addressed(self, message: Message) -> _Addressed:
        """Say from whom and to whom a message goes."""
        settings = self._settings
        return {
            "sender": Sender(settings.from_, settings.from_name, settings.reply_to),
            "recipients": list(dict.fromkeys(self._allowed(message.to) or settings.to)),
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
            address = _address(written)
        except ValueError as error:
            raise PermanentError(f"A recipient in the message's `to` {error}") from error
        domain = address.rpartition("@")[2]
        if not {address.lower(), f"*@{domain.lower()}"}.intersection(self._settings.allow_to):
            raise PermanentError(
                f"This channel may not send to {address}: its setting `allow_to` does not name it."
            )
        return address

    def _detail(self, refused: Mapping[str, SMTPResponse]) -> str | None:
        if not refused:
            return None
        return f"Refused by the server: {describe_refused(refused, self._hidden)}"


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
