"""Kept connections: reused, replaced when dead, and never the cause of a second mail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import trustme
import uvloop

from almenara import TemporaryError
from almenara.testing import SmtpSink
from tests.plugins.shipped import a_message, email_channel, load, send, server_certificate


@pytest.fixture(params=[True, False], ids=["pipelining", "one by one"])
def receiver(request: pytest.FixtureRequest) -> Iterator[SmtpSink]:
    with SmtpSink(pipelining=request.param) as receiver:
        yield receiver


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def subjects(receiver: SmtpSink) -> list[str]:
    return [str(mail.parsed["Subject"]) for mail in receiver.mails]


async def test_two_mails_go_over_one_connection(receiver: SmtpSink) -> None:
    async with email_channel(receiver) as mail:
        await send(mail, title="one")
        await send(mail, title="two")
        assert receiver.open_count == 1
    assert [(each.session, each.parsed["Subject"]) for each in receiver.mails] == [
        (1, "one"),
        (1, "two"),
    ]
    assert receiver.commands[-1] == (1, "QUIT")
    await until(lambda: receiver.open_count == 0)


async def test_many_mails_at_once_share_four_connections(receiver: SmtpSink) -> None:
    titles = [f"mail {number}" for number in range(30)]
    async with email_channel(receiver) as mail:
        await asyncio.gather(*(send(mail, title=title) for title in titles))
    assert sorted(subjects(receiver)) == sorted(titles)
    assert receiver.session_count == 4


async def test_a_mail_that_finds_no_free_connection_is_tried_again_later(
    receiver: SmtpSink,
) -> None:
    receiver.hold("DATA")
    async with email_channel(receiver) as mail, asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(send(mail))
        await until(lambda: receiver.count("DATA") == 4)
        connections = mail._here()
        connections.door.server = replace(connections.door.server, timeout_seconds=0.1)
        with pytest.raises(TemporaryError, match="All 4 connections to the mail server"):
            await send(mail, title="late")
        receiver.let_go("DATA")
    assert len(receiver.mails) == 4
    assert "late" not in subjects(receiver)


async def test_a_connection_that_the_server_closed_when_idle_is_replaced(
    receiver: SmtpSink,
) -> None:
    async with email_channel(receiver) as mail:
        await send(mail, title="one")
        receiver.hang_up()
        await send(mail, title="two")
    assert subjects(receiver) == ["one", "two"]
    assert receiver.session_count == 2


@pytest.mark.parametrize("stage", ["MAIL", "RCPT"])
@pytest.mark.parametrize("farewell", [None, "421 4.3.2 closing"])
async def test_a_kept_connection_that_proves_dead_before_the_data_is_replaced(
    receiver: SmtpSink, stage: Any, farewell: str | None
) -> None:
    async with email_channel(receiver) as mail:
        await send(mail, title="one")
        if farewell is None:
            receiver.hang_up_at(stage)
        else:
            receiver.reply(stage, farewell)
        await send(mail, title="two")
    assert subjects(receiver) == ["one", "two"]
    assert [each.session for each in receiver.mails] == [1, 2]


async def test_a_new_connection_that_dies_is_not_tried_again_at_once(
    receiver: SmtpSink,
) -> None:
    receiver.hang_up_at("MAIL")
    async with email_channel(receiver) as mail:
        with pytest.raises(TemporaryError, match="failed: "):
            await send(mail)
    assert receiver.session_count == 1


async def test_a_connection_lost_in_the_data_is_left_to_the_next_attempt(
    receiver: SmtpSink,
) -> None:
    async with email_channel(receiver) as mail:
        await send(mail, title="one")
        receiver.hang_up_at("DATA")
        with pytest.raises(TemporaryError):
            await send(mail, title="two")
        assert receiver.count("DATA") == 2
        await send(mail, title="two")
    assert subjects(receiver) == ["one", "two"]


@pytest.mark.parametrize("stage", ["MAIL", "RCPT"])
async def test_a_mail_refused_over_a_kept_connection_is_not_offered_again(
    receiver: SmtpSink, stage: Any
) -> None:
    async with email_channel(receiver) as mail:
        await send(mail)
        receiver.reply(stage, "451 4.7.1 slow down")
        with pytest.raises(TemporaryError, match="slow down"):
            await send(mail)
    assert receiver.count(stage) == 2


@pytest.mark.parametrize("stage", ["EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_cancelled_send_does_not_poison_the_next(receiver: SmtpSink, stage: Any) -> None:
    async with email_channel(receiver) as mail:
        if stage != "EHLO":
            await send(mail, title="one")
        seen = receiver.count(stage)
        receiver.hold(stage)
        task = asyncio.create_task(send(mail, title="cancelled"))
        await until(lambda: receiver.count(stage) > seen)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: receiver.open_count == 0)
        receiver.let_go(stage)
        receipt = await send(mail, title="after", idempotency_key="after")
        assert receipt.reference == "<after@example.org>"
    assert subjects(receiver)[-1] == "after"
    assert subjects(receiver).count("after") == 1


async def test_a_storm_of_cancellations_leaves_the_channel_whole(receiver: SmtpSink) -> None:
    async with email_channel(receiver) as mail:
        for round_ in range(40):
            tasks = [asyncio.create_task(send(mail, title="storm")) for _ in range(8)]
            for _ in range(round_ % 20):
                await asyncio.sleep(0)
            await asyncio.sleep(0.001 * (round_ % 5))
            for task in tasks[::2]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert not [each for each in done[1::2] if isinstance(each, BaseException)]
        await asyncio.gather(*(send(mail, title=f"last {number}") for number in range(8)))
        assert receiver.open_count <= 4
    last = [subject for subject in subjects(receiver) if subject.startswith("last")]
    assert sorted(last) == [f"last {number}" for number in range(8)]


async def test_an_idle_connection_is_left_politely(receiver: SmtpSink) -> None:
    opening = load("email", "opening")
    door = opening.Door(opening.Server(receiver.host, receiver.port), None)
    connections = load("email", "connections").Connections(door, idle_seconds=0.01)
    async with email_channel(receiver) as mail:
        rendered = await mail._render(a_message())
        await connections.send(rendered)
        await until(lambda: receiver.open_count == 0)
        assert receiver.commands[-1] == (1, "QUIT")
        await connections.send(rendered)
    await connections.close()
    assert [each.session for each in receiver.mails] == [1, 2]


async def test_a_mail_under_way_at_the_close_arrives_and_its_connection_goes(
    receiver: SmtpSink,
) -> None:
    async with email_channel(receiver) as mail:
        receiver.hold("DATA")
        task = asyncio.create_task(send(mail, title="under way"))
        await until(lambda: receiver.count("DATA") == 1)
        await mail.close()
        receiver.let_go("DATA")
        await task
        await until(lambda: receiver.open_count == 0)
        await send(mail, title="after the close")
    assert subjects(receiver) == ["under way", "after the close"]


async def test_closing_a_channel_that_never_sent_does_nothing(receiver: SmtpSink) -> None:
    async with email_channel(receiver) as mail:
        await mail.close()
    assert receiver.session_count == 0


async def test_a_server_that_does_not_say_goodbye_keeps_nobody_waiting(
    receiver: SmtpSink,
) -> None:
    async with email_channel(receiver) as mail:
        await send(mail)
        receiver.hang_up_at("QUIT")
    await until(lambda: receiver.open_count == 0)


def test_each_event_loop_has_its_own_connections() -> None:
    with SmtpSink() as receiver:
        module = load("email", "email")
        settings = {"server": receiver.host, "port": receiver.port}
        mail = module.Email(
            module.Email.Settings(**settings, **{"from": "a@example.org", "to": "b@example.org"})
        )

        async def once() -> None:
            await send(mail)
            [connections] = mail._connections.values()  # the ended loop's are forgotten
            receiver.hang_up()
            await until(lambda: not any(client.is_connected for client in connections._idle))

        asyncio.run(once())
        asyncio.run(once())
        assert [each.session for each in receiver.mails] == [1, 2]


@pytest.mark.parametrize(("tls", "setting"), [("implicit", "ssl_tls"), ("starttls", "starttls")])
def test_mail_goes_over_the_loop_that_serves(tls: Any, setting: str) -> None:
    with SmtpSink(tls=tls, certificate=server_certificate(trustme.CA())) as receiver:

        async def twice() -> None:
            async with email_channel(receiver, **{setting: True}, validate_certs=False) as mail:
                await send(mail)
                receiver.hang_up()
                await send(mail)
            await until(lambda: receiver.open_count == 0)
            await asyncio.sleep(0.01)  # the farewell of TLS was sent: the loop reads it, and closes

        uvloop.run(twice())
        assert len(receiver.mails) == 2
