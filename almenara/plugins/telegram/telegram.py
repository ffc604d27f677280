"""Sends to a Telegram chat, group or channel as a bot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import Field

from almenara import (
    Attachment,
    ChannelError,
    HttpResponse,
    Message,
    PluginSettings,
    SecretStr,
    TemporaryError,
    WebUrl,
    as_html,
    as_text,
    leave_out,
    multipart,
    raise_for_status,
    request,
)

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: https://core.telegram.org/bots/api#sendmessage
_LONGEST_TEXT = 4_096
#: https://core.telegram.org/bots/api#sendmediagroup
_LONGEST_CAPTION = 1_024
#: One request takes ten; one of them may have to be the text.
_MOST_FILES = 9
#: A wrong or revoked token is 401, or 404 when it is no token at all; 403: the bot was blocked, was
#: removed from the group, or may not write there.
_OF_THE_CHANNEL = frozenset({401, 403, 404})
#: Of the descriptions of 400, those that are about the chat and not about the text.
_OF_THE_CHAT = ("chat not found", "group chat was", "message thread not found", "not enough rights")
#: A message of this priority or a lower one rings nowhere.
_SILENT = 4


class Telegram:
    """Sends each message to one chat.

    Telegram takes no key that would let it see that an attempt repeats an earlier one.
    """

    carries_attachments = True

    class Settings(PluginSettings):
        """Which bot, and which chat."""

        bot_token: SecretStr = Field(description="The bot's token, as @BotFather gives it.")
        chat_id: str = Field(
            examples=["-1001234567890", "@news_of_the_shop"],
            min_length=1,
            description="The chat: a number such as -1001234567890, or @name of a public channel.",
        )
        message_thread_id: int | None = Field(
            default=None, ge=1, description="Sends into this topic of a group."
        )
        api_url: WebUrl = Field(
            default="https://api.telegram.org", description="The Bot API; another one for tests."
        )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str | None:
        """Send the message; return the number that Telegram gives it in the chat."""
        del background_tasks  # it is sent here, nothing is left to do after it
        # Marks take a while to be read; the loop does not wait for it.
        rendered = await asyncio.to_thread(self.preview, message)
        if message.attachments:
            return await self._send_files(message, rendered)
        result = await self._call("sendMessage", rendered)
        return str(result["message_id"]) if isinstance(result, dict) else None

    async def verify(self) -> str:
        """Test the bot's token, and look the chat up; nothing is sent."""
        bot = await self._call("getMe", {})
        chat = await self._call("getChat", {"chat_id": self._settings.chat_id})
        if not isinstance(bot, dict) or not isinstance(chat, dict):
            raise TemporaryError("What answers is not Telegram's Bot API: check `api_url`.")
        return f"Telegram knows the bot {bot.get('username')}, and the bot the chat."

    def preview(self, message: Message) -> dict[str, Any]:
        """Return what would be sent, and the names of the files with it."""
        # Telegram takes no empty file.
        full = [one for one in message.attachments if one.size]
        empty = [one for one in message.attachments if not one.size]
        leave_out(message, [*full[_MOST_FILES:], *empty])
        body: dict[str, Any] = {
            "chat_id": self._settings.chat_id,
            "parse_mode": "HTML",
            "disable_notification": message.priority >= _SILENT,
        }
        if self._settings.message_thread_id:
            body["message_thread_id"] = self._settings.message_thread_id
        if not message.attachments:
            text = as_html(message, limit=_LONGEST_TEXT, unit="utf16")
            return body | {"text": text, "link_preview_options": {"is_disabled": True}}
        caption = as_html(message, limit=_LONGEST_CAPTION, unit="utf16")
        if caption != as_html(message):
            whole = as_text(message).encode("utf-8", "replace")
            message.attachments.insert(0, Attachment.of("message.txt", whole))
        return body | {"caption": caption, "files": [one.name for one in message.attachments]}

    async def _send_files(self, message: Message, rendered: dict[str, Any]) -> str | None:
        """Send text and files by one request, so that no other attempt repeats half of it."""
        words = {name: rendered.pop(name) for name in ("caption", "parse_mode")}
        del rendered["files"]
        if len(message.attachments) == 1:
            files = {"document": message.attachments[0]}
            sent = await self._call("sendDocument", rendered | words, files)
        else:
            files = {f"file{number}": one for number, one in enumerate(message.attachments)}
            media = [{"type": "document", "media": f"attach://{name}"} for name in files]
            media[-1] |= words
            sent = await self._call("sendMediaGroup", rendered | {"media": media}, files)
        first = sent[0] if isinstance(sent, list) and sent else sent
        return str(first["message_id"]) if isinstance(first, dict) else None

    async def _call(
        self, method: str, body: dict[str, Any], files: Mapping[str, Attachment] | None = None
    ) -> Any:
        settings = self._settings
        url = SecretStr(f"{settings.api_url}/bot{settings.bot_token.get_secret_value()}/{method}")
        if files:
            fields = {name: _field(value) for name, value in body.items()}
            content, kind = await multipart(fields, files)
            headers = {"Content-Type": kind}
            response = await request("POST", url, headers=headers, content=content)
        else:
            response = await request("POST", url, json=body)
        answer = response.object()
        _check(response, answer)
        return answer.get("result")


def _field(value: object) -> str:
    """Write a value as a field of a form: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _check(response: HttpResponse, answer: dict[str, Any]) -> None:
    parameters = answer.get("parameters")
    told = parameters if isinstance(parameters, dict) else {}
    moved = told.get("migrate_to_chat_id")
    if isinstance(moved, int):
        raise ChannelError(f"The Telegram group has become another: set `chat_id` to {moved}.")
    description = str(answer.get("description", "")).lower()
    if response.status == HTTPStatus.BAD_REQUEST and any(
        one in description for one in _OF_THE_CHAT
    ):
        raise ChannelError(
            "Telegram knows no such chat, or the bot may not write there: check `chat_id` and "
            "`message_thread_id`, and let the bot in."
        )
    raise_for_status(
        response,
        service="Telegram",
        channel_statuses=_OF_THE_CHANNEL,
        retry_after=told.get("retry_after"),
    )
