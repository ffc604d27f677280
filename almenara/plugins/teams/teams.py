"""Posts to Microsoft Teams by a workflow's webhook, as an adaptive card."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pydantic import Field

from almenara import Message, PluginSettings, SecretUrl, as_markdown, cut, raise_for_status, request

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: A whole card has 28 KB: what the text leaves is for the rest of it and for escapes in JSON.
_LONGEST_TEXT = 12_000
#: The workflow was deleted, is switched off, or its address has expired.
_OF_THE_CHANNEL = frozenset({401, 403, 404, 410})


class Teams:
    """Posts each message as a card; what is posted where is the workflow's.

    A workflow answers before it posts, so a delivery that was taken may still fail in Teams; its
    runs are listed in Power Automate.
    """

    class Settings(PluginSettings):
        """Where to post."""

        webhook_url: SecretUrl = Field(
            examples=["https://example.webhook.office.com/workflows/abc"],
            description="The address that the workflow shows, https://...logic.azure.com/...",
        )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> None:
        """Post the message."""
        del background_tasks  # the post is made here, nothing is left to do after it
        # Marks take a while to be read; the loop does not wait for it.
        rendered = await asyncio.to_thread(self.preview, message)
        response = await request("POST", self._settings.webhook_url, json=rendered)
        raise_for_status(response, service="Teams", channel_statuses=_OF_THE_CHANNEL)

    def preview(self, message: Message) -> dict[str, Any]:
        """Return what would be posted."""
        text = as_markdown(message, limit=_LONGEST_TEXT, unit="bytes", title=False)
        # A single line end is a space in a card's text.
        body: list[dict[str, Any]] = [_block(text.replace("\n", "\n\n"))]
        if message.title:
            title = cut(message.title, 255)
            body.insert(0, _block(title, size="Large", weight="Bolder", style="heading"))
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": body,
        }
        content_type = "application/vnd.microsoft.card.adaptive"
        return {
            "type": "message",
            "attachments": [{"contentType": content_type, "content": card}],
        }


def _block(text: str, **looks: str) -> dict[str, Any]:
    return {"type": "TextBlock", "text": text, "wrap": True, **looks}
