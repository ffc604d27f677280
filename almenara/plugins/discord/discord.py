"""Posts to a Discord channel by a webhook."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from pydantic import Field

from almenara import (
    HttpResponse,
    Message,
    PluginSettings,
    SecretStr,
    SecretUrl,
    TemporaryError,
    as_markdown,
    leave_out,
    multipart,
    raise_for_status,
    request,
)

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: https://discord.com/developers/docs/resources/webhook#execute-webhook
_LONGEST_TEXT = 2_000
_MOST_FILES = 10
#: The webhook was deleted, its token is wrong, or its channel takes nothing from it.
_OF_THE_CHANNEL = frozenset({401, 403, 404})


class Discord:
    """Posts each message to one channel; a sender's text can mention nobody.

    Discord takes no key that would let it see that an attempt repeats an earlier one.
    """

    carries_attachments = True

    class Settings(PluginSettings):
        """Where to post, and as whom."""

        webhook_url: SecretUrl = Field(
            examples=["https://discord.com/api/webhooks/1/abc"],
            description="The webhook's address, https://discord.com/api/webhooks/...",
        )
        username: str | None = Field(
            default=None, max_length=80, description="Another name than the webhook's own."
        )
        thread_id: str | None = Field(
            default=None, pattern=r"^[0-9]{1,20}$", description="Posts into this thread."
        )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str | None:
        """Post the message; return the id of the post."""
        del background_tasks  # the post is made here, nothing is left to do after it
        # Marks take a while to be read; the loop does not wait for it.
        rendered = await asyncio.to_thread(self.preview, message)
        # `wait`: Discord answers when the post is made, and names it.
        url = f"{self._settings.webhook_url.get_secret_value()}?wait=true"
        if self._settings.thread_id:
            url += f"&thread_id={self._settings.thread_id}"
        if message.attachments:
            files = {f"files[{number}]": one for number, one in enumerate(message.attachments)}
            del rendered["files"]
            content, kind = await multipart({"payload_json": json.dumps(rendered)}, files)
            headers = {"Content-Type": kind}
            response = await request("POST", SecretStr(url), headers=headers, content=content)
        else:
            response = await request("POST", SecretStr(url), json=rendered)
        answer = _read(response)
        return str(answer["id"]) if "id" in answer else None

    async def verify(self) -> str:
        """Look the webhook up; nothing is posted."""
        answer = _read(await request("GET", self._settings.webhook_url))
        if "id" not in answer:
            raise TemporaryError("What answers is not a webhook of Discord's: check `webhook_url`.")
        return f"Discord knows the webhook, by the name {answer.get('name')}."

    def preview(self, message: Message) -> dict[str, Any]:
        """Return what would be posted, and the names of the files beside it."""
        leave_out(message, message.attachments[_MOST_FILES:])
        body: dict[str, Any] = {
            "content": as_markdown(message, limit=_LONGEST_TEXT, unit="utf16"),
            "allowed_mentions": {"parse": []},
        }
        if self._settings.username:
            body["username"] = self._settings.username
        files = [one.name for one in message.attachments]
        return body | ({"files": files} if files else {})


def _read(response: HttpResponse) -> dict[str, Any]:
    answer = response.object()
    raise_for_status(
        response,
        service="Discord",
        channel_statuses=_OF_THE_CHANNEL,
        retry_after=answer.get("retry_after"),
    )
    return answer
