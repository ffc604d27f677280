"""Sends by Pushover to a user or a group."""

from __future__ import annotations

import asyncio
import base64
import time
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
    cut,
    leave_out,
    raise_for_status,
    request,
)

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: https://pushover.net/api
_LONGEST_TEXT, _LONGEST_TITLE = 1_024, 250
#: Of a picture, in bytes.
_LARGEST = 5_242_880
#: What Pushover names when it is about the channel and not about the text.
_OF_THE_CHANNEL = ("token", "user", "device")
#: By our priority, from the most urgent.
_PRIORITIES = {1: 1, 2: 1, 3: 0, 4: -1, 5: -2}


class Pushover:
    """Sends each message to one user or group.

    Pushover takes no key that would let it see that an attempt repeats an earlier one.
    """

    carries_attachments = True

    class Settings(PluginSettings):
        """As which application, and to whom."""

        token: SecretStr = Field(description="The application's API token.")
        user: SecretStr = Field(description="The key of the user or the group.")
        device: str | None = Field(default=None, description="Only to this device, or several: a,b")
        sound: str | None = Field(default=None, description="One of Pushover's sounds, or `none`.")
        api_url: WebUrl = Field(
            default="https://api.pushover.net", description="The API; another one for tests."
        )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str | None:
        """Send the message; return the id of the request, by which Pushover's support finds it."""
        del background_tasks  # it is sent here, nothing is left to do after it
        # Marks take a while to be read; the loop does not wait for it.
        rendered = await asyncio.to_thread(self.preview, message)
        for picture in message.attachments:
            content = await picture.read()
            rendered["attachment_base64"] = base64.b64encode(content).decode()
        identifier = (await self._call("messages", rendered)).get("request")
        return identifier if isinstance(identifier, str) else None

    async def verify(self) -> str:
        """Have the token, the user and the device validated; nothing is sent."""
        device = self._settings.device
        answer = await self._call("users/validate", {"device": device} if device else {})
        if answer.get("status") != 1:
            raise TemporaryError("What answers is not Pushover's API: check `api_url`.")
        return "Pushover knows the application, and the user or the group."

    async def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        settings = self._settings
        body = body | {
            "token": settings.token.get_secret_value(),
            "user": settings.user.get_secret_value(),
        }
        response = await request("POST", f"{settings.api_url}/1/{path}.json", json=body)
        answer = response.object()
        _check(response, answer)
        return answer

    def preview(self, message: Message) -> dict[str, Any]:
        """Return what would be sent, but for what is in the picture."""
        picture = next(filter(_is_picture, message.attachments), None)
        leave_out(message, [one for one in message.attachments if one is not picture])
        marked = message.format != "text"
        write = as_html if marked else as_text
        body: dict[str, Any] = {
            "message": write(message, limit=_LONGEST_TEXT, title=False),
            "priority": _PRIORITIES[message.priority],
            "timestamp": int(message.created_at.timestamp()),
        }
        if marked:
            body["html"] = 1
        if picture is not None:
            body["attachment_type"] = picture.media_type
        if message.title:
            body["title"] = cut(message.title, _LONGEST_TITLE)
        more = {"device": self._settings.device, "sound": self._settings.sound}
        return body | {name: value for name, value in more.items() if value}


def _is_picture(file: Attachment) -> bool:
    return file.media_type.startswith("image/") and 0 < file.size <= _LARGEST


def _check(response: HttpResponse, answer: dict[str, Any]) -> None:
    wrong = [name for name in _OF_THE_CHANNEL if answer.get(name) == "invalid"]
    if response.status == HTTPStatus.BAD_REQUEST and wrong:
        raise ChannelError(f"Pushover refused `{wrong[0]}`: set it anew.")
    # 429 says that a month's messages are used up, and this header when the next month begins.
    reset = response.headers.get("X-Limit-App-Reset", "")
    used_up = response.status == HTTPStatus.TOO_MANY_REQUESTS and reset.isdecimal()
    wait = float(reset) - time.time() if used_up else None
    raise_for_status(
        response, service="Pushover", channel_statuses=frozenset({401, 403}), retry_after=wait
    )
