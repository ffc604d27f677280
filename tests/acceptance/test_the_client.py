"""The Python client against the whole server: its operations, and a message that is stored once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from almenara.client import AsyncClient, Attachment, Client, RefusedError
from tests.serving import Client as Served
from tests.serving import make_settings, served


@pytest.fixture
async def almenara(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(make_settings(tmp_path)) as one:
        yield one


@asynccontextmanager
async def _losing_answers(url: str, count: int) -> AsyncIterator[str]:
    """Stand between: each request is handed on, but so many answers are lost on the way back."""
    host, port = url.removeprefix("http://").split(":")
    left = count

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        behind, before = await asyncio.open_connection(host, int(port))
        while data := await reader.read(65_536):
            before.write(data)
            answer = await behind.read(65_536)
            if left:
                left -= 1
                break
            writer.write(answer)
        before.close()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_message_whose_answer_was_lost_is_stored_once(almenara: Served) -> None:
    async with (
        _losing_answers(almenara.url, 2) as url,
        AsyncClient(url) as client,
        AsyncClient(almenara.url) as direct,
    ):
        await direct.put_channel("log", plugin="Log")
        accepted = await client.send("Once", channel="log")
        assert accepted.duplicate
        assert [one.id async for one in direct.messages()] == [accepted.id]
        assert len([one async for one in direct.deliveries()]) == 1


async def test_messages_are_sent_waited_for_and_looked_at(almenara: Served) -> None:
    async with AsyncClient(almenara.url) as client:
        await client.put_channel("log", plugin="Log")
        await client.create_topic("sales", channels=["log"])
        told = await client.explain("Hello", topic="sales", title="News")
        assert [one.channel for one in told.channels if one.would_send] == ["log"]
        file = Attachment("a.txt", b"content")
        sent = await client.send("Hello", topic="sales", attachments=[file], priority=2)
        story = await client.wait(sent.id)
        assert (story.is_sent, story.status, story.priority) == (True, "sent", 2)
        assert story.deliveries[0].attempts[0].outcome == "sent"
        assert story.timeline[0].event == "accepted"
        assert story.created_at.tzinfo is not None
        assert await client.attachment(sent.id, 1) == b"content"
        later = datetime.now(UTC) + timedelta(hours=1)
        waiting = await client.send("Later", topic="sales", send_at=later)
        assert (await client.cancel(waiting.id)).status == "cancelled"
        [again] = [one for one in (await client.resend(waiting.id)).deliveries if one.resend_of]
        assert (await client.wait(waiting.id)).is_sent
        assert (await client.delivery(again.id)).status == "sent"
        assert (await client.resend_delivery(again.id)).resend_of == again.id
        many = await client.send_many(
            [{"topic": "sales", "description": "1"}, {"description": "2"}]
        )
        assert [one.status for one in many] == [202, 422]
        found = [
            one.id
            async for one in client.messages(
                topic="sales", since=story.created_at - timedelta(seconds=1)
            )
        ]
        assert found[-1] == sent.id
        assert [one.id async for one in client.messages(limit=1)] == found[:1]
        hook = await client.send_webhook("sales", {"zen": "x"}, template="json")
        assert hook.topic == "sales"
        assert (await client.explain_webhook("sales", {}, template="json")).topic == "sales"


async def test_the_set_up_is_changed_and_read(
    almenara: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILE_DIRECTORY", str(tmp_path))

    def do(client: Client) -> None:
        made = client.create_channel("mail", plugin="File", settings={"name": "mail"})
        assert (made.name, made.warnings, made.rate) == ("mail", [], None)
        assert client.change_channel("mail", rate="10/s", burst=5).rate == "10/s"
        assert client.change_channel("mail", rate=None, burst=None).rate is None
        assert client.pause_channel("mail", reason="holidays").state == "paused"
        assert client.resume_channel("mail").state == "active"
        assert client.verify_channel("mail").verified
        assert client.test_channel("mail").is_sent
        assert client.channel("MAIL").plugin == "File"
        assert [one.name for one in client.channels()] == ["log", "mail"]
        client.create_topic("sales", channel="mail")
        assert client.change_topic("sales", redact=True).redact
        assert client.put_topic("sales", channels=["mail"]).redact is False
        assert [one.name for one in client.topics()] == ["hello", "sales"]
        assert client.topic("sales").channels[0].channel == "mail"
        with pytest.raises(RefusedError) as caught:
            client.delete_channel("mail")
        assert (caught.value.status, caught.value.exact_code) == (409, "channel_in_use")
        client.delete_channel("mail", force=True)
        client.delete_topic("sales")
        with pytest.raises(RefusedError, match="There is no topic") as caught:
            client.topic("sales")
        assert caught.value.exact_code == "not_found"
        assert "File" in {one.name for one in client.plugins().data}
        entries = list(client.audit(object="channel:mail")) or list(client.audit())
        assert entries[-1].action == "channel.created"
        assert client.readiness().status == "ready"

    with Client(almenara.url) as client:
        await asyncio.to_thread(do, client)


async def test_what_failed_is_replayed(almenara: Served) -> None:
    async with AsyncClient(almenara.url) as client:
        await client.put_channel("shop", plugin="Log")
        await client.pause_channel("shop")
        sent = await client.send("x", channel="shop")
        [waiting] = (await client.message(sent.id)).deliveries
        await client.cancel_delivery(waiting.id)
        assert (await client.try_replay(channel="shop")).count == 1
        begun = await client.create_replay(channel="shop", rate="1/s")
        assert begun.filters.channel == "shop"
        shown = await client.replay(begun.id)
        assert shown.total_count == 1
        assert [one.id async for one in client.replays()] == [begun.id]
        with pytest.raises(RefusedError, match="held"):
            await client.release(waiting.id)
