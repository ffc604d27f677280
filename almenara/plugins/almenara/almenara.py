"""Hands on to another Almenara, so that towers can be chained."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from almenara import (
    ChannelError,
    HttpResponse,
    Message,
    PluginSettings,
    SecretStr,
    TemporaryError,
    WebUrl,
    raise_for_status,
    request,
)

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: What the other tower says of its topics and channels, and not of the message.
_OF_THE_CHANNEL = frozenset({"topic_not_found", "channel_not_found"})


class Almenara:
    """Hands each message on to one topic of another server.

    The delivery's key goes with it, so that a repeated attempt is known there.
    """

    carries_attachments = True

    class Settings(PluginSettings):
        """Which server, and which topic there."""

        # Names that begin with ALMENARA_ are the settings of this server.
        model_config = SettingsConfigDict(env_prefix="TOWER_")

        server: WebUrl = Field(
            examples=["https://tower.example.org"], description="The other server's address."
        )
        token: SecretStr | None = Field(
            default=None, description="A token of the scope `messages:send`, where it asks for one."
        )
        topic: str | None = Field(
            examples=["sales"],
            default=None,
            description="The topic there; left out, the message's own.",
        )
        channel: str | None = Field(
            examples=["team-slack"], default=None, description="Or: one channel there."
        )

        @model_validator(mode="after")
        def _check_one_address(self) -> Self:
            if self.topic is not None and self.channel is not None:
                raise ValueError("give `topic` or `channel`, not both")
            return self

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str | None:
        """Hand the message on; return its id there."""
        del background_tasks  # it is handed on here, nothing is left to do after it
        headers = self._headers() | {
            "Content-Type": "application/json",
            "Idempotency-Key": message.idempotency_key,
        }
        contents = [await one.read() for one in message.attachments]
        # Files of 10 MiB take a while to be written; the loop does not wait for it.
        content = await asyncio.to_thread(_write, self.preview(message), contents)
        url = f"{self._settings.server}/v1/messages"
        response = await request("POST", url, headers=headers, content=content)
        answer = response.object()
        _check(response, answer)
        identifier = answer.get("id")
        return identifier if isinstance(identifier, str) else None

    async def verify(self) -> str:
        """Look the topic or the channel up there with the token; nothing is handed on."""
        settings = self._settings
        kind, name = (
            ("channels", settings.channel) if settings.channel else ("topics", settings.topic)
        )
        url = f"{settings.server}/v1/{kind}" + (f"/{quote(name, safe='')}" if name else "")
        response = await request("GET", url, headers=self._headers())
        answer = response.object()
        if answer.get("code") == "insufficient_scope":
            # Who may send need not be allowed to read.
            return "The other Almenara knows the token; with `config:read` more could be checked."
        if answer.get("code") == "not_found":
            raise ChannelError(
                "The other Almenara has no such topic or channel: check `topic` and `channel`."
            )
        _check(response, answer)
        if not answer.keys() & {"name", "data"}:
            raise TemporaryError("What answers is no Almenara: check `server`.")
        return f"The other Almenara knows {name or 'the token'}."

    def _headers(self) -> dict[str, str | SecretStr]:
        token = self._settings.token
        if token is None:
            return {}
        return {"Authorization": SecretStr(f"Bearer {token.get_secret_value()}")}

    def preview(self, message: Message) -> dict[str, Any]:
        """Return the message as it would be handed on, but for what is in its files."""
        body = message.model_dump(
            mode="json",
            include={"description", "title", "format", "priority", "tags", "data", "to"}
            | {"reference", "metadata"},
            exclude_none=True,
        )
        if message.attachments:
            body["attachments"] = [
                {"name": one.name, "media_type": one.media_type} for one in message.attachments
            ]
        if self._settings.channel is not None:
            return body | {"channel": self._settings.channel}
        topic = self._settings.topic or message.topic
        if topic is None:
            raise ChannelError(
                "The message has no topic: set `topic` or `channel` of this channel."
            )
        return body | {"topic": topic}


def _write(body: dict[str, Any], contents: Sequence[bytes]) -> bytes:
    for file, content in zip(body.get("attachments", []), contents, strict=True):
        file["content"] = base64.b64encode(content).decode()
    return json.dumps(body, separators=(",", ":")).encode()


def _check(response: HttpResponse, answer: dict[str, Any]) -> None:
    code = answer.get("code")
    if response.status == HTTPStatus.UNPROCESSABLE_ENTITY and code in _OF_THE_CHANNEL:
        raise ChannelError(
            f"The other Almenara answered 422 ({code}): check `topic` and `channel`."
        )
    raise_for_status(
        response, service="The other Almenara", channel_statuses=frozenset({401, 403, 404, 421})
    )
