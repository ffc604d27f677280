"""Sends by any of the services that the library apprise knows, each by its URL."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from almenara import (
    BackgroundTasks,
    ChannelError,
    Message,
    PluginSettings,
    Receipt,
    SecretStr,
    as_text,
    receipt_of_many,
)

from .library import INSTALL, is_installed, send, service_of
from .urls import PUBLIC, schema_of

_MOST_URLS = 20
#: Longer than any service takes; what one does not take is cut by apprise.
_LONGEST_TEXT = 32_768
#: By our priority, from the most urgent.
_KINDS = {1: "failure", 2: "warning", 3: "info", 4: "info", 5: "info"}
#: Apprise blocks: it has threads of its own, so that it takes none from others.
_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="almenara-apprise")


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

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> Receipt:
        """Send the message by each URL.

        Raises:
            TemporaryError: no service has it, and one may take it later.
            ChannelError, PermanentError: no service has it, and none will.
        """
        del background_tasks  # it is sent here, nothing is left to do after it
        self._check_allowed()
        loop = asyncio.get_running_loop()
        ends = await asyncio.gather(
            *(
                loop.run_in_executor(_threads, self._send, url, number, message)
                for number, url in enumerate(self._settings.urls, start=1)
            ),
            return_exceptions=True,
        )
        return receipt_of_many(ends, recipients="services")

    def preview(self, message: Message) -> dict[str, str]:
        """Return what each service would be given; it may cut or mark it."""
        return {
            "title": message.title or "",
            "body": as_text(message, limit=_LONGEST_TEXT, title=False),
            "kind": _KINDS[message.priority],
        }

    def _send(self, url: SecretStr, number: int, message: Message) -> None:
        named = f"{schema_of(url.get_secret_value())} (URL {number} of the channel)"
        send(url, named, **self.preview(message))

    def _check_allowed(self) -> None:
        allowed = PUBLIC.union(_Operator().allowed.replace(",", " ").split())
        for url in self._settings.urls:
            schema = schema_of(url.get_secret_value())
            if schema not in allowed:
                raise ChannelError(
                    f"A URL with {schema}:// may lead to any address, also inside your network: it "
                    "is used only where APPRISE_ALLOWED of the sending process names it."
                )
