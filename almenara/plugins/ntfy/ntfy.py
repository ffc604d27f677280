"""Publishes to a topic of ntfy, at ntfy.sh or a server of your own."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from almenara import (
    Message,
    PluginSettings,
    SecretStr,
    TemporaryError,
    WebUrl,
    as_markdown,
    as_text,
    cut,
    raise_for_status,
    request,
)

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: A longer text would arrive as an attached file. https://docs.ntfy.sh/publish/#limitations
_LONGEST_TEXT = 4_096
_OF_THE_CHANNEL = frozenset({401, 403, 404})


class Ntfy:
    """Publishes each message to one topic.

    ntfy takes no key that would let it see that an attempt repeats an earlier one.
    """

    class Settings(PluginSettings):
        """Which topic, and who may write to it."""

        server: WebUrl = Field(default="https://ntfy.sh", description="The server's address.")
        topic: SecretStr = Field(
            description="The topic. Where topics are open, whoever knows the name reads it, so it "
            "is kept secret."
        )
        token: SecretStr | None = Field(default=None, description="An access token, tk_...")
        username: str | None = Field(default=None, description="Or: a user ...")
        password: SecretStr | None = Field(default=None, description="... and the password.")

        @model_validator(mode="after")
        def _check_one_way(self) -> Self:
            if self.token is not None and self.username is not None:
                raise ValueError("give `token`, or `username` and `password`")
            return self

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str | None:
        """Publish the message; return ntfy's id of it."""
        del background_tasks  # it is published here, nothing is left to do after it
        # Marks take a while to be read; the loop does not wait for it.
        rendered = await asyncio.to_thread(self.preview, message)
        body = {"topic": self._settings.topic.get_secret_value(), **rendered}
        response = await request("POST", self._settings.server, headers=self._headers(), json=body)
        raise_for_status(response, service="ntfy", channel_statuses=_OF_THE_CHANNEL)
        identifier = response.object().get("id")
        return identifier if isinstance(identifier, str) else None

    async def verify(self) -> str:
        """Ask for the account of the token or the user, else for the server's health."""
        signed_in = bool(self._headers())
        path, sign = ("account", "username") if signed_in else ("health", "healthy")
        url = f"{self._settings.server}/v1/{path}"
        response = await request("GET", url, headers=self._headers())
        raise_for_status(response, service="ntfy", channel_statuses=_OF_THE_CHANNEL)
        if not response.object().get(sign):
            raise TemporaryError("What answers is not ntfy, or it is not healthy: check `server`.")
        return "ntfy knows the account." if signed_in else "ntfy is there; no account was tried."

    def preview(self, message: Message) -> dict[str, Any]:
        """Return what would be published."""
        marked = message.format != "text"
        write = as_markdown if marked else as_text
        body: dict[str, Any] = {
            "message": write(message, limit=_LONGEST_TEXT, unit="bytes", title=False),
            # Ours has 1 for the most urgent, ntfy 5.
            "priority": 6 - message.priority,
            "tags": message.tags,
            "markdown": marked,
        }
        return body | ({"title": cut(message.title, 250)} if message.title else {})

    def _headers(self) -> dict[str, SecretStr]:
        settings = self._settings
        if settings.token is not None:
            return {"Authorization": SecretStr(f"Bearer {settings.token.get_secret_value()}")}
        if settings.username is None or settings.password is None:
            return {}
        pair = f"{settings.username}:{settings.password.get_secret_value()}".encode()
        return {"Authorization": SecretStr(f"Basic {base64.b64encode(pair).decode()}")}
