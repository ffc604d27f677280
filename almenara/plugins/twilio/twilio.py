"""Sends an SMS, or a WhatsApp message, by Twilio."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from pydantic import Field, model_validator

from almenara import (
    ChannelError,
    HttpResponse,
    Message,
    PluginSettings,
    SecretStr,
    TemporaryError,
    WebUrl,
    as_text,
    raise_for_status,
    request,
)

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: https://www.twilio.com/docs/messaging/api/message-resource
_LONGEST_TEXT = 1_600
_NUMBER = r"^\+[1-9][0-9]{6,14}$"
_OF_THE_CHANNEL = frozenset({401, 403, 404})
#: Of Twilio's codes, those that would refuse whatever is sent from here to there, and what to do.
#: https://www.twilio.com/docs/api/errors
_ADVICE = {
    20003: "check `account_sid` and `auth_token`",
    21211: "`to` is no number that can be reached",
    21212: "`sender` is no number of yours",
    21408: "allow the country of `to` in Twilio's geographic permissions",
    21606: "`sender` is no number of this account that can send",
    21608: "a trial account sends to verified numbers only: verify `to`",
    21610: "the recipient has unsubscribed (STOP)",
    21612: "Twilio has no way from `sender` to `to`",
    21614: "`to` is no mobile number",
    21659: "`sender` is no number of this account",
    21703: "the messaging service has no number: add one",
    63007: "`sender` is no WhatsApp number of this account",
}


class Twilio:
    """Sends each message to one number.

    Twilio takes no key that would let it see that an attempt repeats an earlier one.
    """

    class Settings(PluginSettings):
        """From where to where, at whose cost."""

        account_sid: str = Field(
            examples=["AC0123456789abcdef0123456789abcdef"],
            pattern=r"^AC[0-9a-f]{32}$",
            description="The account, AC...",
        )
        auth_token: SecretStr = Field(description="The account's auth token.")
        sender: str | None = Field(
            examples=["+15551234567"],
            default=None,
            pattern=_NUMBER,
            description="Your number, as +15551234567 ...",
        )
        messaging_service_sid: str | None = Field(
            default=None, pattern=r"^MG[0-9a-f]{32}$", description="... or a messaging service."
        )
        to: str = Field(
            examples=["+34600000000"],
            pattern=_NUMBER,
            description="The recipient's number, as +34600000000.",
        )
        whatsapp: bool = Field(default=False, description="By WhatsApp instead of SMS.")
        api_url: WebUrl = Field(
            default="https://api.twilio.com", description="The API; another one for tests."
        )

        @model_validator(mode="after")
        def _check_one_sender(self) -> Self:
            if (self.sender is None) is (self.messaging_service_sid is None):
                raise ValueError("give either `sender` or `messaging_service_sid`")
            return self

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> str | None:
        """Send the message; return its SID."""
        del background_tasks  # it is sent here, nothing is left to do after it
        # Marks take a while to be read; the loop does not wait for it.
        rendered = await asyncio.to_thread(self.preview, message)
        answer = await self._call("POST", "/Messages.json", urlencode(rendered).encode())
        sid = answer.get("sid")
        return sid if isinstance(sid, str) else None

    async def verify(self) -> str:
        """Look the account up with its token; nothing is sent."""
        status = (await self._call("GET", ".json")).get("status")
        if status in {"suspended", "closed"}:
            raise ChannelError(f"The Twilio account is {status}: reactivate it, or take another.")
        if status != "active":
            raise TemporaryError("What answers is not Twilio's API: check `api_url`.")
        return "The Twilio account is active."

    def preview(self, message: Message) -> dict[str, Any]:
        """Return what would be sent."""
        settings = self._settings
        way = "whatsapp:" if settings.whatsapp else ""
        body = {
            "To": f"{way}{settings.to}",
            "Body": as_text(message, limit=_LONGEST_TEXT, unit="utf16"),
        }
        if settings.sender:
            return body | {"From": f"{way}{settings.sender}"}
        return body | {"MessagingServiceSid": settings.messaging_service_sid}

    async def _call(self, method: str, path: str, form: bytes | None = None) -> dict[str, Any]:
        settings = self._settings
        pair = f"{settings.account_sid}:{settings.auth_token.get_secret_value()}".encode()
        headers: dict[str, str | SecretStr] = {
            "Authorization": SecretStr(f"Basic {base64.b64encode(pair).decode()}")
        }
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        url = f"{settings.api_url}/2010-04-01/Accounts/{settings.account_sid}{path}"
        response = await request(method, url, headers=headers, content=form)
        answer = response.object()
        _check(response, answer)
        return answer


def _check(response: HttpResponse, answer: dict[str, Any]) -> None:
    code = answer.get("code")
    if response.status in range(400, 500) and isinstance(code, int) and code in _ADVICE:
        raise ChannelError(f"Twilio refused ({code}): {_ADVICE[code]}.")
    raise_for_status(response, service="Twilio", channel_statuses=_OF_THE_CHANNEL)
