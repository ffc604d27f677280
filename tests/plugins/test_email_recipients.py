"""Recipients that a message names itself: only those that the channel allows, to the letter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from almenara import PermanentError
from almenara.testing import SmtpSink
from tests.plugins.shipped import a_message, email_channel, email_settings, send

ALLOWED = ["*@example.org", "Bob@Example.net", "*@bücher.example"]


@pytest.fixture
def receiver() -> Iterator[SmtpSink]:
    with SmtpSink() as receiver:
        yield receiver


@pytest.mark.parametrize(
    ("written", "envelope"),
    [
        (["ana@example.org"], ("ana@example.org",)),
        (["Ana@EXAMPLE.org"], ("Ana@example.org",)),
        (["bob@example.net"], ("bob@example.net",)),
        (["BOB@example.net"], ("BOB@example.net",)),
        (["eva@bücher.example"], ("eva@xn--bcher-kva.example",)),
        (["a@example.org", "b@example.org", "a@example.org"], ("a@example.org", "b@example.org")),
        ([], ("desk@example.com",)),
    ],
)
async def test_who_is_allowed_gets_the_mail_and_nobody_else(
    receiver: SmtpSink, written: list[str], envelope: tuple[str, ...]
) -> None:
    async with email_channel(receiver, to=["desk@example.com"], allow_to=ALLOWED) as mail:
        await send(mail, to=written)
        assert mail.preview(a_message(to=written))["to"] == ", ".join(envelope)
    [arrived] = receiver.mails
    assert arrived.recipients == envelope
    assert arrived.parsed["To"] == ", ".join(envelope)


async def test_recipients_who_are_hidden_do_not_see_each_other(receiver: SmtpSink) -> None:
    both = ("ana@example.org", "bob@example.org")
    async with email_channel(
        receiver, to=["desk@example.com"], allow_to=ALLOWED, hide_recipients=True
    ) as mail:
        await send(mail, to=both)
        await send(mail)
        assert mail.preview(a_message(to=both))["to"] == "undisclosed-recipients:;"
    hidden, alone = receiver.mails
    assert hidden.recipients == both
    assert not [one for one in both if one.encode() in hidden.content]
    assert hidden.parsed["To"].addresses == ()
    assert alone.parsed["To"] == "desk@example.com"


NOT_NAMED = [
    "eve@example.com",
    "eve@example.org.evil.example",
    "eve@evil-example.org",
    "eve@sub.example.org",
    "alice@example.net",
    "desk@example.com",
]
NO_ADDRESS = [
    "eve@evil.example@example.org",
    '"eve@evil.example"@example.org',
    "Eve <eve@example.org>",
    "eve@example.org, mallory@evil.example",
    "eve@example.org;mallory@evil.example",
    "group: eve@example.org;",
    "eve(comment)@example.org",
    "eve@example.org\r\nBcc: mallory@evil.example",
    "eve@example.org\0",
    "<eve@example.org>",
    "eve@[127.0.0.1]",
    "eve",
    "=?utf-8?q?eve=0d=0aBcc:mallory?=@example.org",
    f"eve@{'d' * 60}.{'d' * 60}.{'d' * 60}.{'d' * 60}.{'d' * 60}.example.org",
]


@pytest.mark.parametrize("written", [*NOT_NAMED, *NO_ADDRESS])
async def test_whoever_is_not_allowed_gets_nothing(receiver: SmtpSink, written: str) -> None:
    said = "`allow_to` does not name it" if written in NOT_NAMED else "must be one address"
    async with email_channel(receiver, to=["desk@example.com"], allow_to=ALLOWED) as mail:
        for to in ([written], ["ana@example.org", written]):
            with pytest.raises(PermanentError, match=said) as caught:
                await send(mail, to=to)
            assert "ana@example.org" not in caught.value.message.replace("such as ana@", "")
    assert receiver.mails == []


@pytest.mark.parametrize("pattern", ["*@", "example.org", "*@*.org", "@x.org"])
def test_a_pattern_is_an_address_or_a_whole_domain(receiver: SmtpSink, pattern: str) -> None:
    with pytest.raises(ValidationError, match="must be one address such as"):
        email_settings(receiver, allow_to=[pattern])


def test_a_star_stands_for_a_whole_name_alone(receiver: SmtpSink) -> None:
    with pytest.raises(ValidationError, match="stands alone"):
        email_settings(receiver, allow_to=["a*@example.org"])
