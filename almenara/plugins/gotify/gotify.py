"""Sends to a Gotify server as one of its applications."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import Field

from almenara import (
    BackgroundTasks,
    Message,
    PluginSettings,
    SecretStr,
    WebUrl,
    as_markdown,
    as_text,
    raise_for_status,
    request,
)

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

        server: WebUrl = Field(description="The server's address, https://push.example.com")
        token: SecretStr = Field(description="The application's token.")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str | None:
        """Send the message; return Gotify's id of it."""
        del background_tasks  # it is sent here, nothing is left to do after it
        # Marks take a while to be read; the loop does not wait for it.
        rendered = await asyncio.to_thread(self.preview, message)
        response = await request(
            "POST",
            f"{self._settings.server}/message",
            headers={"X-Gotify-Key": self._settings.token},
            json=rendered,
        )
        raise_for_status(response, service="Gotify", channel_statuses=_OF_THE_CHANNEL)
        identifier = response.object().get("id")
        return str(identifier) if isinstance(identifier, int) else None

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
