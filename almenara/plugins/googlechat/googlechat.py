"""Posts to a Google Chat space by a webhook."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pydantic import Field

from almenara import Message, PluginSettings, SecretUrl, as_chat_marks, raise_for_status, request

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: https://developers.google.com/workspace/chat/api/reference/rest/v1/spaces.messages
_LONGEST_TEXT = 4_096
#: The webhook's key or token is wrong, or its space is gone.
_OF_THE_CHANNEL = frozenset({401, 403, 404})


class GoogleChat:
    """Posts each message to one space; a sender's text can mention nobody."""

    class Settings(PluginSettings):
        """Where to post."""

        webhook_url: SecretUrl = Field(
            examples=["https://chat.googleapis.com/v1/spaces/AAA/messages?key=abc&token=def"],
            description="The webhook's address, https://chat.googleapis.com/v1/spaces/...?key=...",
        )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str | None:
        """Post the message; return its name, `spaces/.../messages/...`."""
        del background_tasks  # the post is made here, nothing is left to do after it
        # Marks take a while to be read; the loop does not wait for it.
        rendered = await asyncio.to_thread(self.preview, message)
        response = await request("POST", self._settings.webhook_url, json=rendered)
        raise_for_status(response, service="Google Chat", channel_statuses=_OF_THE_CHANNEL)
        name = response.object().get("name")
        return name if isinstance(name, str) else None

    def preview(self, message: Message) -> dict[str, Any]:
        """Return what would be posted."""
        return {"text": as_chat_marks(message, limit=_LONGEST_TEXT)}
