"""Commands in one packet: each reply is read as the one it is, however it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvloop

from almenara import PermanentError, TemporaryError
from almenara.testing import SmtpSink
from tests.plugins.shipped import email_channel, load, send

MANY = [f"someone-{number}@example.org" for number in range(100)]
THREE = ["ana@example.org", "bob@example.org", "eva@example.org"]
OK, GO_ON = b"250 2.1.0 ok\r\n", b"354 go on\r\n"


@dataclass
class Relay:
    """A mail server that answers nothing before it has a whole envelope, as a distant one would.

    Args:
        replies: to MAIL, each RCPT and DATA of one mail after the other, in these pieces.
        hangs_up: whether it hangs up after the last of them.
    """

    replies: list[Sequence[bytes]]
    hangs_up: bool = False
    host: str = "127.0.0.1"
    port: int = 0
    sessions: int = 0
    envelopes: list[list[str]] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        writer.write(b"220 hi\r\n")
        await reader.readline()
        writer.write(b"250-hi\r\n250 PIPELINING\r\n")
        while lines := await self._lines(reader, "DATA"):
            self.envelopes.append(lines)
            for piece in self.replies.pop(0):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.001)
            if self.hangs_up:
                break
            if content := await self._lines(reader, "."):
                self.contents.append("\n".join(content))
                writer.write(OK)
        writer.close()

    async def _lines(self, reader: asyncio.StreamReader, last: str) -> list[str]:
        """Read up to a line; return nothing when the connection ends before."""
        lines = [""]
        while lines[-1] != last:
            line = await reader.readline()
            if not line.endswith(b"\n") or line == b"QUIT\r\n":
                return []
            lines.append(line.decode().rstrip("\r\n"))
        return lines[1:-1]


@asynccontextmanager
async def relay(*replies: Sequence[bytes], hangs_up: bool = False) -> AsyncIterator[Relay]:
    relay = Relay(list(replies), hangs_up)
    server = await asyncio.start_server(relay.serve, relay.host, 0)
    relay.port = server.sockets[0].getsockname()[1]
    async with server:
        yield relay


async def test_a_hundred_recipients_wait_for_the_network_once() -> None:
    async with (
        relay([OK * 101 + GO_ON], [OK * 101 + GO_ON]) as server,
        email_channel(server, to=MANY, timeout_seconds=5) as mail,
    ):
        await send(mail, title="one")
        await send(mail, title="two")
    assert (
        server.envelopes
        == [["MAIL FROM:<shop@example.org>", *(f"RCPT TO:<{one}>" for one in MANY)]] * 2
    )
    assert [("Subject: one" in one, "Subject: two" in one) for one in server.contents] == [
        (True, False),
        (False, True),
    ]
    assert server.sessions == 1


def test_it_does_so_on_the_loop_that_serves() -> None:
    async def once() -> None:
        async with (
            relay([OK * 101 + GO_ON]) as server,
            email_channel(server, to=MANY, timeout_seconds=5) as mail,
        ):
            await send(mail)
        assert len(server.contents) == 1

    uvloop.run(once())


async def test_a_server_that_does_not_offer_it_gets_one_command_at_a_time() -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        while data := await reader.read(65_536):
            heard.append(data)
            is_data = data == b"DATA\r\n"
            # What follows DATA ends in a line with a dot; the rest are commands.
            if not (heard[-2:-1] == [b"DATA\r\n"] and not data.endswith(b"\r\n.\r\n")):
                writer.write(GO_ON if is_data else OK)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    place = Relay([], port=server.sockets[0].getsockname()[1])
    async with server, email_channel(place, to=THREE, timeout_seconds=5) as mail:
        await send(mail)
    assert [one.split(b":")[0] for one in heard[1:6]] == [
        b"MAIL FROM",
        b"RCPT TO",
        b"RCPT TO",
        b"RCPT TO",
        b"DATA\r\n",
    ]


async def test_replies_that_come_in_pieces_are_put_together() -> None:
    replies = OK * 2 + b"550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n" + OK + GO_ON
    async with (
        relay([bytes([one]) for one in replies]) as server,
        email_channel(server, to=THREE) as mail,
    ):
        receipt = await send(mail)
    assert receipt.detail == (
        "Refused by the server: bob@example.org (550 5.1.1 no 5.1.1 such 5.1.1 user)"
    )
    assert len(server.contents) == 1


@pytest.mark.parametrize("pipelining", [True, False])
async def test_of_many_recipients_those_are_named_that_were_refused(pipelining: bool) -> None:
    with SmtpSink(pipelining=pipelining) as receiver:
        for number in (0, 41, 99):
            receiver.refuse("RCPT", f"550 5.1.1 no {number}", MANY[number])
        async with email_channel(receiver, to=MANY) as mail:
            receipt = await send(mail)
            await send(mail)
        assert receipt.detail == "Refused by the server: " + "; ".join(
            f"{MANY[number]} (550 5.1.1 no {number})" for number in (0, 41, 99)
        )
        taken = tuple(one for one in MANY if one not in {MANY[0], MANY[41], MANY[99]})
        assert [(one.recipients, one.session) for one in receiver.mails] == [(taken, 1)] * 2


async def test_where_all_recipients_are_refused_no_data_follows_even_if_it_is_awaited() -> None:
    no = b"550 5.1.1 no such user\r\n"
    async with (
        relay([OK + no * 3 + GO_ON], [OK * 4 + GO_ON]) as server,
        email_channel(server, to=THREE) as mail,
    ):
        with pytest.raises(PermanentError, match="refused every recipient"):
            await send(mail, title="refused")
        await send(mail, title="taken")
    assert ["Subject: taken" in one for one in server.contents] == [True]
    assert server.sessions == 2


@pytest.mark.parametrize("replies", [b"", OK, OK * 3, OK * 4])
async def test_a_kept_connection_lost_among_the_replies_is_replaced_and_the_mail_comes_once(
    replies: bytes,
) -> None:
    with SmtpSink() as receiver:
        async with email_channel(receiver, to=THREE) as mail, relay([replies]) as other:
            other.hangs_up = True
            connections = mail._here()
            opening = load("email", "opening")
            there = opening.Door(opening.Server(other.host, other.port), None)
            connections._keep(await there.open())
            await send(mail)
        assert len(receiver.mails) == 1
    assert (len(other.envelopes), other.contents) == (1, [])


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ([OK * 2], "did not answer in time"),
        ([OK, b"250-and so "], "did not answer in time"),
        ([OK, b"421 4.3.2 going down\r\n"], "421 4.3.2 going down"),
        ([OK, b"nothing of the kind\r\n"], "Malformed reply: nothing of the kind"),
        ([OK, b"250-on\r\n" * 5_000], "Reply too long"),
        ([OK * 4 + GO_ON + OK], "More replies than commands"),
    ],
)
async def test_a_server_out_of_step_is_tried_again_later_and_its_connection_not_used(
    replies: list[bytes], said: str
) -> None:
    async with (
        relay(replies, [OK * 4 + GO_ON]) as server,
        email_channel(server, to=THREE, timeout_seconds=0.3) as mail,
    ):
        with pytest.raises(TemporaryError, match=said):
            await send(mail, title="one")
        await send(mail, title="two")
    assert ["Subject: two" in one for one in server.contents] == [True]
    assert server.sessions == 2


async def test_a_connection_lost_before_its_data_could_be_sent_fails_the_attempt_alone() -> None:
    async with (
        relay([OK * 4 + GO_ON], hangs_up=True) as server,
        email_channel(server, to=THREE, timeout_seconds=5) as mail,
    ):
        with pytest.raises(TemporaryError, match=r"The connection .* failed"):
            await send(mail)
    assert (server.sessions, server.contents) == (1, [])


@pytest.mark.parametrize("address", ["ana@example.org>\r\nRSET", "ana\0@example.org", "ñ@ñ.org"])
async def test_no_command_hides_in_an_address(address: str) -> None:
    with SmtpSink() as receiver:
        async with email_channel(receiver) as mail:
            connections = mail._here()
            letter = load("email", "rendering").Mail("a@example.org", [address], "<1@a>", b"a\r\n")
            with pytest.raises(ValueError, match="one line of printable ASCII"):
                await connections.send(letter)
        assert receiver.count("MAIL") == 0
