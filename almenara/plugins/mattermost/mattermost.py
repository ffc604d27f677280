"""Posts to Mattermost by an incoming webhook."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import Field

from almenara import (
    ChannelError,
    Message,
    PluginSettings,
    SecretUrl,
    as_markdown,
    raise_for_status,
    request,
)

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: https://developers.mattermost.com/integrate/webhooks/incoming/
_LONGEST_TEXT = 16_383
_OF_THE_CHANNEL = frozenset({401, 403, 404, 501})
#: Of the ids of errors, those that are about the webhook and not about the text.
_OF_THE_WEBHOOK = re.compile(
    r"web\.incoming_webhook\.(invalid|disabled|channel|channel_locked|permissions|user|team)\."
)
#: Mattermost lets no webhook switch mentions off; a character of no width makes them none.
_MENTION = re.compile(r"@(?=\w)")


class Mattermost:
    """Posts each message to one channel; a sender's text can mention nobody.

    Mattermost takes no key that would let it see that an attempt repeats an earlier one.
    """

    class Settings(PluginSettings):
        """Where to post, and as whom."""

        webhook_url: SecretUrl = Field(
            examples=["https://chat.example.org/hooks/abc"],
            description="The webhook's address, https://chat.example.com/hooks/...",
        )
        channel: str | None = Field(
            default=None, description="Another channel than the webhook's own, or @user."
        )
        username: str | None = Field(
            default=None, description="Another name, where the server lets webhooks have one."
        )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> None:
        """Post the message."""
        del background_tasks  # the post is made here, nothing is left to do after it
        # Marks take a while to be read; the loop does not wait for it.
        rendered = await asyncio.to_thread(self.preview, message)
        response = await request("POST", self._settings.webhook_url, json=rendered)
        code = response.object().get("id")
        if (
            response.status >= HTTPStatus.BAD_REQUEST
            and isinstance(code, str)
            and _OF_THE_WEBHOOK.match(code)
        ):
            raise ChannelError(
                f"Mattermost answered {response.status}: the webhook or its channel is gone, "
                "switched off or locked; check both, and set `webhook_url` anew."
            )
        raise_for_status(response, service="Mattermost", channel_statuses=_OF_THE_CHANNEL)

    def preview(self, message: Message) -> dict[str, Any]:
        """Return what would be posted."""
        text = as_markdown(message, limit=_LONGEST_TEXT - 383)
        body = {"text": _MENTION.sub("@\u200b", text)[:_LONGEST_TEXT]}
        more = {"channel": self._settings.channel, "username": self._settings.username}
        return body | {name: value for name, value in more.items() if value}
