"""Writes to a customer of a Landbot bot, over Landbot's Platform API."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from almenara import (
    ChannelError,
    HttpResponse,
    Message,
    PermanentError,
    PluginSettings,
    Receipt,
    SecretStr,
    WebUrl,
    as_text,
    raise_for_status,
    receipt_of_many,
    request,
)

if TYPE_CHECKING:
    from almenara import BackgroundTasks

#: Landbot names no limit; of the channels behind it, WhatsApp has this one.
_LONGEST_TEXT = 4_096
_MOST_CUSTOMERS = 100
#: The token, the plan, the permissions. https://dev.landbot.io/guides/errors
_OF_THE_CHANNEL = frozenset({401, 402, 403})
#: There is no such customer, or it cannot be written to: blocked, inactive, without an opt-in.
_OF_THE_CUSTOMER = frozenset({404, 412})
_WRONG_INPUT = frozenset({400, 422})
#: What of the input may be at fault that is not the text.
_FIELDS = frozenset({"customer_id", "channel_id"})
_ID = re.compile(r"[1-9][0-9]{0,17}")

Customer = Annotated[int, Field(ge=1, lt=10**18)]


class Landbot:
    """Sends each message as a text to the channel's customers, or to those that it names.

    Landbot takes no key that would let it see that an attempt repeats an earlier one.
    """

    class Settings(PluginSettings):
        """Whose workspace, and to which customers."""

        token: SecretStr = Field(description="The agent token of the Platform API.")
        customers: list[Customer] = Field(
            default=[],
            max_length=_MOST_CUSTOMERS,
            description="Who gets each message: the ids of customers, with commas.",
        )
        allow_to: list[Literal["*"] | Customer] = Field(
            default=[],
            max_length=1_000,
            description="Which customers a message may name in its own `to`, in place of these: "
            "ids with commas, or `*` for any. Absent: none.",
        )
        api_url: WebUrl = Field(
            default="https://api.landbot.io", description="The API; another one for tests."
        )

        @model_validator(mode="after")
        def _check_somebody(self) -> Self:
            if not self.customers and not self.allow_to:
                raise ValueError("give `customers`, or say in `allow_to` whom messages may name")
            return self

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send_message(self, message: Message, background_tasks: BackgroundTasks) -> Receipt:
        """Send the message to each customer.

        Raises:
            TemporaryError: no customer has it, and one may get it later.
            ChannelError, PermanentError: no customer has it, and none will.
        """
        del background_tasks  # it is sent here, nothing is left to do after it
        customers = self._customers(message)
        # Marks take a while to be read; the loop does not wait for it.
        body = await asyncio.to_thread(self.preview, message)
        sends = (self._send(customer, body, named=bool(message.to)) for customer in customers)
        ends = await asyncio.gather(*sends, return_exceptions=True)
        return receipt_of_many(ends, recipients="customers")

    def preview(self, message: Message) -> dict[str, Any]:
        """Return what would be sent to each customer."""
        return {"message": as_text(message, limit=_LONGEST_TEXT)}

    async def _send(self, customer: int, body: dict[str, Any], *, named: bool) -> None:
        token = self._settings.token.get_secret_value()
        response = await request(
            "POST",
            f"{self._settings.api_url}/v1/customers/{customer}/send_text/",
            headers={"Authorization": SecretStr(f"Token {token}")},
            json=body,
        )
        _check(response, customer, named=named)

    def _customers(self, message: Message) -> list[int]:
        """Return whom the message goes to, each once."""
        allowed = self._settings.allow_to
        if not message.to:
            if self._settings.customers:
                return list(dict.fromkeys(self._settings.customers))
            raise PermanentError(
                "The message names no customer in `to`, and the channel has no `customers`."
            )
        if not all(_ID.fullmatch(one) for one in message.to):
            raise PermanentError("The message's `to` must be ids of Landbot's customers: numbers.")
        wanted = list(dict.fromkeys(map(int, message.to)))
        for one in wanted:
            if "*" not in allowed and one not in allowed:
                raise PermanentError(
                    f"This channel may not write to customer {one}: its `allow_to` does not name "
                    "it."
                )
        return wanted


def _check(response: HttpResponse, customer: int, *, named: bool) -> None:
    """Raise what an answer means.

    Args:
        named: the message named the customer; otherwise each message would fail alike.
    """
    errors = response.object().get("errors")
    about = isinstance(errors, dict) and not errors.keys().isdisjoint(_FIELDS)
    if response.status in _OF_THE_CUSTOMER or (response.status in _WRONG_INPUT and about):
        raise (PermanentError if named else ChannelError)(
            f"Landbot answered {response.status}: customer {customer} is unknown or cannot be "
            "written to; look in Landbot whether it is blocked, its channel inactive, or an opt-in "
            "missing."
        )
    raise_for_status(response, service="Landbot", channel_statuses=_OF_THE_CHANNEL)
