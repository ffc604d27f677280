"""What only the Landbot channel does: its customers, the channel's own and a message's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import BackgroundTasks
from pydantic import ValidationError

from almenara import ChannelError, PermanentError, TemporaryError
from almenara.egress import Egress, configure
from almenara.plugin import build_settings
from almenara.testing import FakeService
from tests.plugins.documented import says
from tests.plugins.shipped import a_message, load

REFUSED = says(412, {"errors": {"customer_id": ["You can't send message to this customer"]}})


@pytest.fixture
async def receiver() -> AsyncIterator[FakeService]:
    egress = Egress(["127.0.0.0/8"])
    configure(egress)
    with FakeService() as receiver:
        yield receiver
    configure(None)
    await egress.close()


def built(receiver: FakeService | None = None, **values: Any) -> Any:
    cls = load("landbot", "landbot").Landbot
    url = {"api_url": receiver.url} if receiver else {}
    return cls(build_settings(cls, cls.Settings, {"token": "t", **url, **values}, None))


async def send(channel: Any, *to: str) -> Any:
    return await channel.send_message(a_message(to=list(to)), BackgroundTasks())


def asked(receiver: FakeService) -> list[str]:
    return sorted(one.target.split("/")[3] for one in receiver.received)


async def test_it_asks_as_the_documentation_has_it(receiver: FakeService) -> None:
    await send(built(receiver, customers=[42]))
    [arrived] = receiver.received
    assert (arrived.method, arrived.target) == ("POST", "/v1/customers/42/send_text/")
    assert arrived.headers["Authorization"] == "Token t"
    assert arrived.json() == {"message": "What does it cost?"}


async def test_each_customer_gets_it_once(receiver: FakeService) -> None:
    await send(built(receiver, customers="42, 7,42"))
    assert asked(receiver) == ["42", "7"]


@pytest.mark.parametrize("allowed", ["*", "8,9", ["*"], [8, 9]])
async def test_a_message_names_customers_where_the_channel_allows_it(
    receiver: FakeService, allowed: Any
) -> None:
    await send(built(receiver, customers=[42], allow_to=allowed), "8", "9", "8")
    assert asked(receiver) == ["8", "9"]


@pytest.mark.parametrize(
    ("values", "to", "says"),
    [
        ({"customers": [42]}, ["42"], "may not write to customer 42"),
        ({"allow_to": [8]}, ["8", "9"], "may not write to customer 9"),
        ({"allow_to": ["*"]}, [], "names no customer"),
        ({"allow_to": ["*"]}, ["8/../9"], "must be ids"),
        ({"allow_to": ["*"]}, ["ana@example.org"], "must be ids"),
        ({"allow_to": ["*"]}, ["9" * 19], "must be ids"),
    ],
)
async def test_nobody_else_gets_it(
    receiver: FakeService, values: dict[str, Any], to: list[str], says: str
) -> None:
    with pytest.raises(PermanentError, match=says):
        await send(built(receiver, **values), *to)
    assert receiver.received == []


async def test_a_customer_that_cannot_be_written_to_is_the_messages_fault_if_it_named_them(
    receiver: FakeService,
) -> None:
    receiver.answer = REFUSED
    with pytest.raises(PermanentError, match="customer 8"):
        await send(built(receiver, customers=[42], allow_to=["*"]), "8")
    with pytest.raises(ChannelError, match="customer 42"):
        await send(built(receiver, customers=[42], allow_to=["*"]))


async def test_who_has_it_does_not_get_it_again_for_another(receiver: FakeService) -> None:
    channel = built(receiver, customers=[1, 2, 3])
    # They are asked at once, so the first to ask is any.
    answers = {"1": says(200), "2": REFUSED, "3": says(503)}
    receiver.answer = lambda asked: answers[asked.target.split("/")[3]]
    receipt = await send(channel)
    assert receipt.detail.startswith("Sent to 1 of 3 customers. Landbot answered 412: customer ")
    assert "Landbot answered 503" in receipt.detail
    answers["1"] = REFUSED
    with pytest.raises(TemporaryError):
        await send(channel)


@pytest.mark.parametrize(
    "values", [{}, {"customers": ["ana"]}, {"customers": [0]}, {"allow_to": ["**"]}]
)
def test_a_channel_to_nobody_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        built(**values)
