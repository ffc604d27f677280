"""Sends to a Gotify server as one of its applications."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import Field

from almenara import (
    HttpResponse,
    Message,
    PluginSettings,
    SecretStr,
    TemporaryError,
    WebUrl,
    as_markdown,
    as_text,
    raise_for_status,
    request,
)

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: The token is wrong, or there is no Gotify at the address.
_OF_THE_CHANNEL = frozenset({401, 403, 404})
#: By our priority, from the most urgent: Gotify's clients ring from 4, and above 7 over what is on.
_PRIORITIES = {1: 10, 2: 7, 3: 5, 4: 2, 5: 0}


class Gotify:
    """Sends each message.

    Gotify takes no key that would let it see that an attempt repeats an earlier one.
    """

    class Settings(PluginSettings):
        """Which server, as which application."""

        server: WebUrl = Field(
            examples=["https://push.example.com"],
            description="The server's address, https://push.example.com",
        )
        token: SecretStr = Field(description="The application's token.")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str | None:
        """Send the message; return Gotify's id of it."""
        del background_tasks  # it is sent here, nothing is left to do after it
        # Marks take a while to be read; the loop does not wait for it.
        rendered = await asyncio.to_thread(self.preview, message)
        response = await self._post(rendered)
        raise_for_status(response, service="Gotify", channel_statuses=_OF_THE_CHANNEL)
        identifier = response.object().get("id")
        return str(identifier) if isinstance(identifier, int) else None

    async def verify(self) -> str:
        """Post no text, which Gotify refuses with 400 when it knows the token; nothing is sent.

        An application's token is good for nothing else, and this is how Gotify's author says that
        it is tried: https://github.com/gotify/server/issues/652
        """
        response = await self._post({})
        if response.status == HTTPStatus.BAD_REQUEST:
            return "Gotify knows the token."
        raise_for_status(response, service="Gotify", channel_statuses=_OF_THE_CHANNEL)
        raise TemporaryError("What answers is not Gotify, or took a message without a text.")

    async def _post(self, body: dict[str, Any]) -> HttpResponse:
        url = f"{self._settings.server}/message"
        headers = {"X-Gotify-Key": self._settings.token}
        return await request("POST", url, headers=headers, json=body)

    def preview(self, message: Message) -> dict[str, Any]:
        """Return what would be sent."""
        marked = message.format != "text"
        write = as_markdown if marked else as_text
        body: dict[str, Any] = {
            "message": write(message, title=False),
            "priority": _PRIORITIES[message.priority],
        }
        if message.title:
            body["title"] = message.title
        if marked:
            body["extras"] = {"client::display": {"contentType": "text/markdown"}}
        return body
