"""Sends by any of the services that the library apprise knows, each by its URL."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from almenara import (
    ChannelError,
    Message,
    PermanentError,
    PluginSettings,
    Receipt,
    SecretStr,
    TemporaryError,
    as_text,
    receipt_of_many,
)

from .library import INSTALL, is_installed, send, service_of
from .urls import PUBLIC, schema_of

if TYPE_CHECKING:
    from almenara import BackgroundTasks

_MOST_URLS = 20
#: Longer than any service takes; what one does not take is cut by apprise.
_LONGEST_TEXT = 32_768
#: By our priority, from the most urgent.
_KINDS = {1: "failure", 2: "warning", 3: "info", 4: "info", 5: "info"}
#: So late in an attempt no other service is begun with, in seconds: its deadline would hide who has
#: the message.
_BEGINNING_SECONDS = 6.0


class _Operator(BaseSettings):
    """Which more may be used: from the environment of the process alone, never from a channel."""

    model_config = SettingsConfigDict(env_prefix="APPRISE_", extra="ignore")

    allowed: str = ""


def _check_url(value: SecretStr) -> SecretStr:
    schema = schema_of(value.get_secret_value())
    if not is_installed():
        raise ValueError(INSTALL)
    if service_of(value) is None:
        raise ValueError(f"Apprise cannot read this URL: see its page about {schema}")
    return value


class Apprise:
    """Sends each message by every URL of the channel.

    No service is told a key by which it would see that an attempt repeats an earlier one.
    """

    class Settings(PluginSettings):
        """By which services."""

        urls: list[Annotated[SecretStr, AfterValidator(_check_url)]] = Field(
            min_length=1,
            max_length=_MOST_URLS,
            description="URLs of Apprise's, such as discord://..., with commas.",
        )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def send_message(self, message: Message, background_tasks: BackgroundTasks) -> Receipt:
        """Send the message by one URL after the other, in a thread: the library blocks.

        Raises:
            TemporaryError: no service has it, and one may take it later.
            ChannelError, PermanentError: no service has it, and none will.
        """
        del background_tasks  # it is sent here, nothing is left to do after it
        self._check_allowed()
        texts, begun = self.preview(message), time.monotonic()
        ends: list[Exception | None] = []
        for number, url in enumerate(self._settings.urls, start=1):
            late = bool(ends) and time.monotonic() - begun > _BEGINNING_SECONDS
            ends.append(_end_of(url, number, texts, late=late))
        return receipt_of_many(ends, recipients="services")

    def preview(self, message: Message) -> dict[str, str]:
        """Return what each service would be given; it may cut or mark it."""
        return {
            "title": message.title or "",
            "body": as_text(message, limit=_LONGEST_TEXT, title=False),
            "kind": _KINDS[message.priority],
        }

    def _check_allowed(self) -> None:
        allowed = PUBLIC.union(_Operator().allowed.replace(",", " ").split())
        for url in self._settings.urls:
            schema = schema_of(url.get_secret_value())
            if schema not in allowed:
                raise ChannelError(
                    f"A URL with {schema}:// may lead to any address, also inside your network: it "
                    "is used only where APPRISE_ALLOWED of the sending process names it."
                )


def _end_of(url: SecretStr, number: int, texts: dict[str, str], *, late: bool) -> Exception | None:
    """Send by one URL; return the error, if it is one of an attempt."""
    named = f"{schema_of(url.get_secret_value())} (URL {number} of the channel)"
    if late:
        return TemporaryError(f"{named} was not tried, the others took too long.")
    try:
        send(url, named, **texts)
    except (ChannelError, PermanentError, TemporaryError) as error:
        return error
    return None
