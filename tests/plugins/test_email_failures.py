"""What each failure of a mail server does to a delivery, and what its error says."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from almenara import ChannelError, PermanentError, TemporaryError
from almenara.testing import SmtpSink
from tests.plugins.shipped import email_channel, load, odd_server, send

PERMANENT, TEMPORARY = PermanentError, TemporaryError


@pytest.fixture(params=[True, False], ids=["pipelining", "one by one"])
def receiver(request: pytest.FixtureRequest) -> Iterator[SmtpSink]:
    with SmtpSink(pipelining=request.param) as receiver:
        yield receiver


@pytest.mark.parametrize("stage", ["EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("421 4.3.2 closing", TEMPORARY),
        ("450 4.2.1 mailbox busy", TEMPORARY),
        ("451 4.3.0 try later", TEMPORARY),
        ("452 4.2.2 full", TEMPORARY),
        ("550 5.1.1 unknown", PERMANENT),
        ("552 5.3.4 too big", PERMANENT),
        ("554 5.7.1 spam", PERMANENT),
    ],
)
async def test_a_4xx_is_tried_again_and_a_5xx_never(
    receiver: SmtpSink, stage: Any, reply: str, kind: type[Exception]
) -> None:
    receiver.reply(stage, reply, reply)
    async with email_channel(receiver) as mail:
        with pytest.raises(kind, match=reply[4:]) as caught:
            await send(mail)
    assert receiver.mails == []
    assert f"127.0.0.1:{receiver.port}" in str(caught.value)


async def test_recipients_refused_by_the_server_are_named_and_the_others_get_the_mail(
    receiver: SmtpSink,
) -> None:
    receiver.refuse("RCPT", "550 5.1.1 no such user", "gone@example.org")
    receiver.refuse("RCPT", "452 4.2.2 mailbox full", "full@example.org")
    to = ["gone@example.org", "ana@example.org", "full@example.org"]
    async with email_channel(receiver, to=to) as mail:
        receipt = await send(mail)
    assert receipt.detail == (
        "Refused by the server: gone@example.org (550 5.1.1 no such user); "
        "full@example.org (452 4.2.2 mailbox full)"
    )
    [arrived] = receiver.mails
    assert arrived.recipients == ("ana@example.org",)
    assert [each.addr_spec for each in arrived.parsed["To"].addresses] == to


@pytest.mark.parametrize(
    ("second", "kind"), [("550 5.1.1 no such user", PERMANENT), ("450 4.2.1 busy", TEMPORARY)]
)
async def test_when_all_recipients_are_refused_one_4xx_is_enough_to_try_again(
    receiver: SmtpSink, second: str, kind: type[Exception]
) -> None:
    receiver.refuse("RCPT", "550 5.1.1 no such user", "ana@example.org")
    receiver.refuse("RCPT", second, "bob@example.org")
    async with email_channel(receiver, to=["ana@example.org", "bob@example.org"]) as mail:
        with pytest.raises(kind, match=r"every recipient: ana@.* \(550 .*\); bob@.*") as caught:
            await send(mail)
    assert second in str(caught.value)
    assert receiver.count("DATA") == 0


async def test_a_server_that_is_not_there_is_tried_again_later() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, never listening: a connection is refused
        nobody = SimpleNamespace(host="127.0.0.1", port=free.getsockname()[1])
        async with email_channel(nobody) as mail:
            with pytest.raises(TemporaryError, match="failed: "):
                await send(mail)


async def test_a_server_without_an_address_is_tried_again_later(receiver: SmtpSink) -> None:
    async with email_channel(receiver, server="no.invalid", timeout_seconds=2) as mail:
        with pytest.raises(TemporaryError, match=r"no\.invalid"):
            await send(mail)


@pytest.mark.parametrize("lines", [[], [b"220 hello\r\n"]])
async def test_a_silent_server_is_tried_again_later(lines: list[bytes]) -> None:
    async with odd_server(*lines) as server, email_channel(server, timeout_seconds=0.1) as mail:
        with pytest.raises(TemporaryError, match="did not answer in time"):
            await send(mail)


async def test_a_server_that_refuses_at_the_door_is_believed() -> None:
    async with odd_server(b"554 5.3.2 no service here\r\n") as server, email_channel(server) as m:
        with pytest.raises(PermanentError, match=r"554 5\.3\.2 no service here"):
            await send(m)
    async with odd_server(b"421 4.3.2 busy\r\n") as server, email_channel(server) as mail:
        with pytest.raises(TemporaryError, match=r"421 4\.3\.2 busy"):
            await send(mail)


@pytest.mark.parametrize("lines", [[b"HTTP/1.1 400 Bad Request\r\n"], [b"220 hi\r\n", b"2x0\r\n"]])
async def test_a_server_that_speaks_something_else_is_tried_again_later(
    lines: list[bytes],
) -> None:
    async with odd_server(*lines) as server, email_channel(server, timeout_seconds=1) as mail:
        with pytest.raises(TemporaryError):
            await send(mail)


async def test_a_server_that_hangs_up_at_the_door_is_tried_again_later() -> None:
    async with odd_server(b"220-h", hang_up=True) as server, email_channel(server) as mail:
        with pytest.raises(TemporaryError, match="failed: "):
            await send(mail)


async def test_starttls_refused_by_the_server_sends_nothing() -> None:
    lines = [b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"454 4.7.0 not now\r\n"]
    async with odd_server(*lines) as server, email_channel(server, starttls=True) as mail:
        with pytest.raises(TemporaryError, match=r"454 4\.7\.0 not now"):
            await send(mail)


async def test_a_size_over_the_servers_limit_is_refused_before_the_data() -> None:
    lines = [b"220 hi\r\n", b"250-hi\r\n250 SIZE 10\r\n", b"552 5.3.4 too big\r\n"]
    async with odd_server(*lines) as server, email_channel(server) as mail:
        with pytest.raises(PermanentError, match=r"552 5\.3\.4 too big"):
            await send(mail)


@pytest.mark.parametrize("stage", ["login", "MAIL", "RCPT", "DATA", "partial"])
async def test_what_a_server_echoes_shows_no_secret(stage: str) -> None:
    username, password = "a-secret-user", "open-sesame"
    echo = f"550 5.7.1 not allowed for A-Secret-User with {password}"
    with SmtpSink(credentials=(username, password)) as receiver:
        to = ["ana@example.org", "bob@example.org"]
        if stage == "partial":
            receiver.refuse("RCPT", echo, "bob@example.org")
        elif stage == "login":
            receiver.refuse("AUTH", f"535 5.7.8 {username} {password}")
        else:
            receiver.reply(stage, echo, echo)  # type: ignore[arg-type]  # one of the stages
        async with email_channel(receiver, username=username, password=password, to=to) as mail:
            if stage == "partial":
                shown = (await send(mail)).detail or ""
            else:
                with pytest.raises((ChannelError, PermanentError)) as caught:
                    await send(mail)
                shown = "".join(traceback.format_exception(caught.value))
    assert username not in shown.lower()
    assert password not in shown
    assert "550 5.7.1 not allowed for *** with ***" in shown or stage == "login"


async def test_a_long_reply_is_cut_and_shown_on_one_line(receiver: SmtpSink) -> None:
    receiver.reply("MAIL", "550-first\r\n550-\x1b[31msecond\r\n550 " + "x" * 400)
    async with email_channel(receiver) as mail:
        with pytest.raises(PermanentError) as caught:
            await send(mail)
    assert str(caught.value).isprintable()
    assert "550 first [31msecond xxx" in str(caught.value)
    assert str(caught.value).endswith("x…")
    assert len(str(caught.value)) < 300


def test_the_name_for_ehlo_is_a_full_name_or_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def __init__(self, address: str) -> None:
            self.address = address

        def get_transport_info(self, _: str) -> tuple[str, int]:
            return (self.address, 1)

    own_name = load("email", "opening")._own_name
    monkeypatch.setattr(socket, "gethostname", lambda: "f00d")
    assert own_name(Client("192.0.2.1")) == "[192.0.2.1]"
    assert own_name(Client("2001:db8::1")) == "[IPv6:2001:db8::1]"
    monkeypatch.setattr(socket, "gethostname", lambda: "mail.example.org")
    assert own_name(Client("192.0.2.1")) == "mail.example.org"
