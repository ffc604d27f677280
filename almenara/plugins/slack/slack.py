"""Posts to Slack, by an incoming webhook or as a bot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from almenara import (
    ChannelError,
    HttpResponse,
    Message,
    PluginSettings,
    SecretStr,
    as_mrkdwn,
    request,
)

from .answers import read_bot_answer, read_token_answer, read_webhook_answer

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: Slack cuts a text behind this many characters.
_LONGEST_TEXT = 40_000
_TWO_WAYS = "Give either `webhook_url`, or `bot_token` and `channel`."


class Slack:
    """Posts each message to one Slack channel; a sender's text can mention nobody.

    As a bot, the post's `channel:ts` is the reference. Slack takes no key that would let it see
    that an attempt repeats an earlier one.
    """

    class Settings(PluginSettings):
        """One of the two ways to post."""

        webhook_url: SecretStr | None = Field(
            examples=["https://hooks.slack.com/services/T000/B000/XXXX"],
            default=None,
            description="An incoming webhook's address, https://hooks.slack.com/services/...",
        )
        bot_token: SecretStr | None = Field(
            default=None, description="A bot's token, xoxb-..., with the scope chat:write."
        )
        channel: str | None = Field(
            examples=["C0123456789"],
            default=None,
            description="Where the bot posts: an id such as C0123456789, or a name.",
        )
        api_url: str = Field(
            default="https://slack.com/api", description="Slack's Web API; another one for tests."
        )

        @field_validator("webhook_url", "bot_token", "channel", mode="before")
        @classmethod
        def _empty_is_absent(cls, value: object) -> object:
            return None if value == "" else value

        @field_validator("webhook_url")
        @classmethod
        def _check_webhook_url(cls, value: SecretStr | None) -> SecretStr | None:
            if value is not None and not _is_http(value.get_secret_value()):
                raise ValueError(
                    "must be the address that Slack shows: https://hooks.slack.com/..."
                )
            return value

        # These stand at a field, not at the whole, so that a channel that gives both is refused
        # when it is written.
        @field_validator("bot_token", "channel")
        @classmethod
        def _check_one_way(
            cls, value: SecretStr | str | None, info: ValidationInfo
        ) -> SecretStr | str | None:
            if value is not None and info.data.get("webhook_url") is not None:
                raise ValueError(
                    "an incoming webhook needs no `bot_token` and posts to the one channel it was "
                    f"made for. {_TWO_WAYS} What an environment gives is put off by null"
                )
            return value

        @field_validator("api_url")
        @classmethod
        def _check_api_url(cls, value: str) -> str:
            if not _is_http(value):
                raise ValueError("must be an address such as https://slack.com/api")
            return value.rstrip("/")

        @model_validator(mode="after")
        def _check_complete(self) -> Self:
            if self.webhook_url is None and (self.bot_token is None or self.channel is None):
                raise ValueError(_TWO_WAYS)
            return self

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str | None:
        """Post the message; return `channel:ts` of the post, as a bot."""
        del background_tasks  # the post is made here, nothing is left to do after it
        text = as_mrkdwn(message, limit=_LONGEST_TEXT)
        settings = self._settings
        if settings.webhook_url is not None:
            await _post_to_webhook(settings.webhook_url, text)
            return None
        if settings.bot_token is None or settings.channel is None:
            raise ChannelError(_TWO_WAYS)
        post = {"channel": settings.channel, "text": text}
        return read_bot_answer(
            await _call(settings.api_url, settings.bot_token, "chat.postMessage", post)
        )

    async def verify(self) -> str:
        """Test the bot's token; nothing is posted."""
        settings = self._settings
        if settings.bot_token is None:
            raise NotImplementedError("Slack has no silent check of an incoming webhook")
        return read_token_answer(await _call(settings.api_url, settings.bot_token, "auth.test", {}))

    def preview(self, message: Message) -> dict[str, str]:
        """Return the text that would be posted, as Slack is given it, and where."""
        channel = self._settings.channel
        return {"text": as_mrkdwn(message, limit=_LONGEST_TEXT)} | (
            {"channel": channel} if channel else {}
        )


async def _post_to_webhook(url: SecretStr, text: str) -> None:
    read_webhook_answer(await request("POST", url, json={"text": text}))


async def _call(api_url: str, token: SecretStr, method: str, body: dict[str, str]) -> HttpResponse:
    return await request(
        "POST",
        f"{api_url}/{method}",
        headers={
            "Authorization": SecretStr(f"Bearer {token.get_secret_value()}"),
            "Content-Type": "application/json; charset=utf-8",
        },
        json=body,
    )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
