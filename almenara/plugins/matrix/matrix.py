"""Sends to a Matrix room; a repeated attempt is the same event."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import Field

from almenara import (
    Message,
    PluginSettings,
    SecretStr,
    TemporaryError,
    WebUrl,
    as_html,
    as_text,
    raise_for_status,
    request,
)

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: A whole event has 64 KiB; it holds the text twice.
_LONGEST_TEXT, _LONGEST_HTML = 16_000, 24_000
#: The token is wrong, the room is unknown, or the user is not in it.
_OF_THE_CHANNEL = frozenset({401, 403, 404})


class Matrix:
    """Sends each message to one room; a sender's text can mention nobody.

    The transaction's id is the delivery's, so the server answers a repeated attempt with the event
    that the first one made.
    """

    class Settings(PluginSettings):
        """As whom, and to which room."""

        homeserver: WebUrl = Field(
            examples=["https://matrix.example.org"],
            description="The server's address, https://matrix.example.org",
        )
        access_token: SecretStr = Field(description="A token of the user that sends.")
        room_id: str = Field(
            examples=["!abc:example.org"],
            pattern=r"^!\S+$",
            description="The room's id, !abc:example.org; no alias (#room).",
        )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str | None:
        """Send the message; return the event's id."""
        del background_tasks  # it is sent here, nothing is left to do after it
        # Marks take a while to be read; the loop does not wait for it.
        rendered = await asyncio.to_thread(self.preview, message)
        room, transaction = (
            quote(self._settings.room_id, safe=""),
            quote(message.idempotency_key, safe=""),
        )
        answer = await self._call(
            "PUT", f"rooms/{room}/send/m.room.message/{transaction}", rendered
        )
        event = answer.get("event_id")
        return event if isinstance(event, str) else None

    async def verify(self) -> str:
        """Ask whose the token is; nothing is sent."""
        user = (await self._call("GET", "account/whoami")).get("user_id")
        if not isinstance(user, str):
            raise TemporaryError("What answers is not a Matrix server: check `homeserver`.")
        return f"The token is {user}'s."

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        settings = self._settings
        response = await request(
            method,
            f"{settings.homeserver}/_matrix/client/v3/{path}",
            headers={
                "Authorization": SecretStr(f"Bearer {settings.access_token.get_secret_value()}")
            },
            json=body,
        )
        answer = response.object()
        # Servers before version 1.10 of the specification tell it only here, in milliseconds.
        wait = answer.get("retry_after_ms")
        raise_for_status(
            response,
            service="Matrix",
            channel_statuses=_OF_THE_CHANNEL,
            retry_after=wait / 1000 if isinstance(wait, int) else None,
        )
        return answer

    def preview(self, message: Message) -> dict[str, Any]:
        """Return what would be sent."""
        html = as_html(message, limit=_LONGEST_HTML, unit="bytes")
        return {
            "msgtype": "m.text",
            "body": as_text(message, limit=_LONGEST_TEXT, unit="bytes"),
            "format": "org.matrix.custom.html",
            "formatted_body": html.replace("\n", "<br>"),
            "m.mentions": {},
        }
