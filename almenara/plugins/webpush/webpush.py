"""Pushes to browsers (Web Push), encrypted for each, through the browsers' own push services."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from almenara import (
    ChannelError,
    Message,
    PluginSettings,
    Receipt,
    SecretStr,
    raise_for_status,
    receipt_of_many,
    request,
)

from .encryption import encrypt
from .payload import tag_of, text_of
from .subscription import Subscription
from .vapid import authorization, read_key

if TYPE_CHECKING:
    from almenara import BackgroundTasks

_MOST_SUBSCRIPTIONS = 100
#: Shorter than a channel's deadline, so that one silent service does not hide who has taken it.
_PUSH_SECONDS = 10.0
_FOUR_WEEKS = 28 * 24 * 3600
#: By our priority, from the most urgent (RFC 8030, section 5.3).
_URGENCIES = {1: "high", 2: "high", 3: "normal", 4: "low", 5: "very-low"}
#: The subscription is gone (RFC 8030, section 7.3).
_GONE = frozenset({404, 410})
#: It takes nothing from this key: what is sent is always well-formed.
_WRONG_KEY = frozenset({400, 401, 403})


def _check_key(value: SecretStr) -> SecretStr:
    read_key(value.get_secret_value())
    return value


class WebPush:
    """Pushes each message to every subscription of the channel.

    It is sent when one of them has taken it; the receipt says which have not. So no browser shows a
    message twice because another could not be reached.
    """

    class Settings(PluginSettings):
        """Who sends, and to which browsers."""

        private_key: Annotated[SecretStr, AfterValidator(_check_key)] = Field(
            description="The private VAPID key: P-256, its 32 bytes in base64url, or PEM."
        )
        subject: str = Field(
            examples=["mailto:ana@example.org"],
            pattern=r"^(mailto:[^\s@]+@[^\s@]+|https://[^\s]+)$",
            description="Whom the push service writes to: mailto:ana@example.org, or https://...",
        )
        subscriptions: list[Subscription] = Field(
            min_length=1,
            max_length=_MOST_SUBSCRIPTIONS,
            description="The browsers: a list of the objects that `PushManager.subscribe` gives, "
            "each with `endpoint` and `keys`.",
        )
        ttl_seconds: int = Field(
            default=86_400,
            ge=0,
            le=_FOUR_WEEKS,
            description="How long a push waits for a browser that is off.",
        )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key = read_key(settings.private_key.get_secret_value())

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> Receipt:
        """Push the message to every subscription.

        Raises:
            TemporaryError: none has taken it, and one may take it later.
            ChannelError, PermanentError: none has taken it, and none will.
        """
        del background_tasks  # it is pushed here, nothing is left to do after it
        text = await asyncio.to_thread(text_of, message)
        ends = await asyncio.gather(
            *(
                self._push(subscription, text, message, number)
                for number, subscription in enumerate(self._settings.subscriptions, start=1)
            ),
            return_exceptions=True,
        )
        return receipt_of_many(ends, recipients="subscriptions")

    def preview(self, message: Message) -> dict[str, Any]:
        """Return what each browser's service worker would read."""
        shown: dict[str, Any] = json.loads(text_of(message))
        return shown

    async def _push(
        self, subscription: Subscription, text: bytes, message: Message, number: int
    ) -> None:
        endpoint = subscription.endpoint.get_secret_value()
        body, who = await asyncio.to_thread(self._sealed, subscription, text)
        response = await request(
            "POST",
            subscription.endpoint,
            headers={
                "Authorization": SecretStr(who),
                "Content-Type": "application/octet-stream",
                "Content-Encoding": "aes128gcm",
                "TTL": str(self._settings.ttl_seconds),
                "Urgency": _URGENCIES[message.priority],
                "Topic": tag_of(message),
            },
            content=body,
            timeout_seconds=_PUSH_SECONDS,
        )
        service = f"The push service {urlsplit(endpoint).hostname} of subscription {number}"
        if response.status in _GONE:
            raise ChannelError(
                f"{service} answered {response.status}: the subscription is gone, remove it from "
                "`subscriptions`."
            )
        if response.status in _WRONG_KEY:
            raise ChannelError(
                f"{service} answered {response.status}: it was not made for this `private_key`, or "
                "`subject` is not right."
            )
        raise_for_status(response, service=service)

    def _sealed(self, subscription: Subscription, text: bytes) -> tuple[bytes, str]:
        endpoint = subscription.endpoint.get_secret_value()
        who = authorization(self._key, self._settings.subject, endpoint)
        return encrypt(text, subscription.browser(), subscription.auth()), who
