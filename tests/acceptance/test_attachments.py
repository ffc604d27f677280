"""Files that messages bring: handed in, stored in pieces, given to plugins; over both databases."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from almenara.database import Database
from almenara.ledger.attachments import CHUNK_BYTES
from almenara.models import new_id
from tests.attached import LARGE, a_file, stored
from tests.serving import Client, make_settings, served

PLUGIN = '''
import hashlib


class Carrier:
    """Sends files: what it read of each is the reference of its delivery."""

    carries_attachments = True

    async def send_message(self, message, background_tasks):
        return told([(one.name, one.media_type, one.size, await one.read())
                     for one in message.attachments])


class Blocking:
    carries_attachments = True

    def send_message(self, message, background_tasks):
        return told([(one.name, one.media_type, one.size, one.read_bytes())
                     for one in message.attachments])


class Impatient:
    carries_attachments = True

    async def send_message(self, message, background_tasks):
        return message.attachments[0].read_bytes()


class Plain:
    """Sends no files."""

    def send_message(self, message, background_tasks):
        assert message.attachments == []
        return message.description


def told(files):
    return " ".join(f"{name}|{kind}|{size}|{hashlib.sha256(content).hexdigest()[:8]}"
                    for name, kind, size, content in files)
'''


@pytest.fixture
async def desk(client: Client, tmp_path: Path) -> Client:
    """A client of a server with a channel for each plugin of above."""
    for name in ("Carrier", "Blocking", "Impatient", "Plain"):
        body = {"name": name.lower(), "plugin": name}
        created = await client.post("/v1/channels", body)
        assert created.status == 201, created.text
    return client


@pytest.fixture(autouse=True)
def _plugins(tmp_path: Path) -> None:
    place = tmp_path / "plugins" / "desk"
    place.mkdir(parents=True)
    (place / "desk.py").write_text(PLUGIN, encoding="utf-8")


def short(content: bytes) -> str:
    return sha256(content).hexdigest()[:8]


async def send(client: Client, channel: str, *files: Any, **fields: Any) -> Any:
    """Send a message, and return its story."""
    body = {"channel": channel, "description": "See the files", "attachments": list(files)}
    accepted = await client.post("/v1/messages", body | fields)
    assert accepted.status == 202, accepted.text
    return await client.final(accepted.body["id"])


@pytest.mark.parametrize("channel", ["carrier", "blocking"])
async def test_a_plugin_reads_the_files_of_a_message(desk: Client, channel: str) -> None:
    files = [
        a_file("note.txt", b"hello"),
        a_file("größe ☀.pdf", LARGE),
        a_file("odd", b"", media_type="application/x-odd"),
    ]
    story = await send(desk, channel, *files)
    [delivery] = story["deliveries"]
    assert delivery["reference"] == (
        f"note.txt|text/plain|5|{short(b'hello')} "
        f"größe ☀.pdf|application/pdf|640000|{short(LARGE)} "
        f"odd|application/x-odd|0|{short(b'')}"
    )
    assert story["attachments"][1] == {
        "name": "größe ☀.pdf",
        "media_type": "application/pdf",
        "size": len(LARGE),
        "sha256": sha256(LARGE).hexdigest(),
    }
    assert (await desk.get("/v1/messages")).body["data"][0]["attachments"] == story["attachments"]


async def test_a_plugin_that_would_block_the_loop_is_told_so(desk: Client) -> None:
    body = {"channel": "impatient", "description": "x", "attachments": [a_file()]}
    accepted = await desk.post("/v1/messages", body)

    async def attempts() -> Any:
        story = (await desk.get(f"/v1/messages/{accepted.body['id']}")).body
        return story["deliveries"][0]["attempts"]

    async with asyncio.timeout(30):
        while not (made := await attempts()):
            await asyncio.sleep(0.02)
    assert "write `await attachment.read()`" in made[0]["error"]


@pytest.mark.parametrize(
    ("written", "note"),
    [
        ("text", "\n\nAttached, but not sent by this channel: a_b.txt (5 B), <c>.bin (625 KiB)"),
        (
            "markdown",
            "\n\nAttached, but not sent by this channel: a\\_b.txt (5 B), \\<c\\>.bin (625 KiB)",
        ),
        (
            "html",
            "\n<p>Attached, but not sent by this channel: a_b.txt (5 B), &lt;c&gt;.bin (62",
        ),
    ],
)
async def test_a_channel_that_cannot_carry_files_sends_a_note(
    desk: Client, written: str, note: str
) -> None:
    files = [a_file("a_b.txt"), a_file("<c>.bin", LARGE)]
    story = await send(desk, "plain", *files, format=written)
    shown = f"See the files{note}".replace("\n", "\\n")  # a reference is one line
    assert story["deliveries"][0]["reference"].startswith(shown)
    assert story["description"] == "See the files"
    body = {"channel": "plain", "description": "See", "format": written, "attachments": files}
    explained = (await desk.post("/v1/messages/explain", body)).body
    assert note in explained["channels"][0]["content"]["parts"]["description"]
    assert [one["size"] for one in explained["message"]["attachments"]] == [5, 640_000]


async def test_a_content_is_stored_once_in_small_pieces(desk: Client) -> None:
    chunks = -(-len(LARGE) // CHUNK_BYTES)
    await send(desk, "carrier", a_file("a.bin", LARGE), a_file("b.bin", LARGE))
    assert await stored(desk) == (1, chunks, 1)
    await asyncio.gather(
        *(send(desk, "carrier", a_file(f"{number}.bin", LARGE[::-1])) for number in range(3))
    )
    assert await stored(desk) == (2, 2 * chunks, 4)
    rows = await desk.parts.database.fetch(
        "SELECT length(data) AS length FROM attachment_chunk ORDER BY length DESC"
    )
    assert int(rows[0]["length"]) == CHUNK_BYTES


async def test_nothing_is_stored_of_files_for_a_message_that_is_only_explained(
    desk: Client,
) -> None:
    body = {"channel": "carrier", "description": "x", "attachments": [a_file()]}
    assert (await desk.post("/v1/messages/explain", body)).status == 200
    assert await stored(desk) == (0, 0, 0)


async def test_the_same_key_with_another_file_is_another_message(desk: Client) -> None:
    body = {"channel": "carrier", "description": "x"}
    headers = {"Idempotency-Key": "k"}
    first = await desk.post("/v1/messages", body | {"attachments": [a_file()]}, headers=headers)
    again = await desk.post("/v1/messages", body | {"attachments": [a_file()]}, headers=headers)
    assert (again.status, again.body["id"]) == (202, first.body["id"])
    other = {"attachments": [a_file(content=b"other")]}
    refused = await desk.post("/v1/messages", body | other, headers=headers)
    assert (refused.status, refused.body["code"]) == (422, "key_reused")


async def test_each_message_of_a_batch_may_bring_files(desk: Client) -> None:
    messages = [
        {"channel": "carrier", "description": "x", "attachments": [a_file("x.txt")]},
        {"channel": "carrier", "description": "y", "attachments": [{"name": "y"}]},
    ]
    answer = (await desk.post("/v1/messages/batch", {"messages": messages})).body["data"]
    assert [one["status"] for one in answer] == [202, 422]
    story = await desk.final(answer[0]["message"]["id"])
    assert story["deliveries"][0]["reference"].startswith("x.txt|text/plain|5|")


async def test_a_form_brings_a_message_and_its_files(desk: Client) -> None:
    form = aiohttp.FormData()
    form.add_field("channel", "carrier")
    form.add_field("description", "By form")
    form.add_field("priority", "1")
    form.add_field("data", '{"a": 1}')
    form.add_field("tags", "x")
    form.add_field("tags", "y")
    form.add_field("attachments", LARGE, filename="large.bin")
    form.add_field("file", b"a,b", filename="b.csv", content_type="text/csv; charset=utf-8")
    accepted = await desk.call("POST", "/v1/messages", data=form)
    assert accepted.status == 202, accepted.text
    story = await desk.final(accepted.body["id"])
    assert (story["priority"], story["data"], story["tags"]) == (1, {"a": 1}, ["x", "y"])
    assert story["deliveries"][0]["reference"] == (
        f"large.bin|application/octet-stream|640000|{short(LARGE)} b.csv|text/csv|3|{short(b'a,b')}"
    )


async def test_a_form_may_bring_the_message_as_json_and_no_file(desk: Client) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("message", json.dumps({"description": "In JSON", "tags": ["a"]}))
    accepted = await desk.call("POST", "/v1/topics/hello/messages", data=form)
    assert accepted.status == 202, accepted.text
    story = (await desk.get(f"/v1/messages/{accepted.body['id']}")).body
    assert (story["description"], story["tags"], story["attachments"]) == ("In JSON", ["a"], [])


async def test_a_purged_content_fails_the_delivery_in_a_sentence(desk: Client) -> None:
    await desk.post("/v1/channels/carrier/pause")
    body = {"channel": "carrier", "description": "x", "attachments": [a_file()]}
    accepted = await desk.post("/v1/messages", body)
    async with desk.parts.database.transaction() as transaction:
        await transaction.execute("DELETE FROM attachment_chunk")
    await desk.post("/v1/channels/carrier/resume")
    story = await desk.final(accepted.body["id"])
    [delivery] = story["deliveries"]
    assert delivery["status"] == "failed"
    assert delivery["attempts"][0]["error"] == "The content of the attachment a.txt is gone."


async def test_the_content_of_a_file_can_be_read_again(desk: Client) -> None:
    files = [a_file("größe ☀.bin", LARGE), a_file("empty", b"")]
    story = await send(desk, "plain", *files)
    address = f"/v1/messages/{story['id']}/attachments"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{desk.url}{address}/1") as answer:
            assert await answer.read() == LARGE
            assert answer.headers["Content-Type"] == "application/octet-stream"
            disposition = answer.content_disposition
            assert disposition is not None
            assert (disposition.type, disposition.filename) == ("attachment", "größe ☀.bin")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        async with session.get(f"{desk.url}{address}/2") as answer:
            assert await answer.read() == b""
    for number, status in ((3, 404), (0, 422), ("x", 422)):
        assert (await desk.get(f"{address}/{number}")).status == status
    assert (await desk.get(f"/v1/messages/{new_id()}/attachments/1")).status == 404


async def test_files_reach_a_process_that_starts_later(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    async with served(settings) as client:
        channel = {"name": "carrier", "plugin": "Carrier"}
        assert (await client.post("/v1/channels", channel)).status == 201
        await client.post("/v1/channels/carrier/pause")
        body = {
            "channel": "carrier",
            "description": "x",
            "attachments": [a_file("l.bin", LARGE)],
        }
        accepted = await client.post("/v1/messages", body)
    async with served(settings) as client:
        await client.post("/v1/channels/carrier/resume")
        story = await client.final(accepted.body["id"])
        assert short(LARGE) in story["deliveries"][0]["reference"]


async def test_an_upload_that_was_broken_off_is_completed_by_the_next(desk: Client) -> None:
    database: Database = desk.parts.database
    digest = sha256(LARGE).hexdigest()
    async with database.transaction() as transaction:
        await transaction.execute(
            "INSERT INTO attachment_content (sha256, size, complete, touched_at)"
            " VALUES ($1, $2, FALSE, '2026-01-01 00:00:00+00:00')"
            if transaction.dialect == "sqlite"
            else "INSERT INTO attachment_content (sha256, size, complete, touched_at)"
            " VALUES ($1, $2, FALSE, now())",
            *(digest, len(LARGE)),
        )
        await transaction.execute(
            "INSERT INTO attachment_chunk (id, content_id, position, data) VALUES ($1, $2, $3, $4)",
            *(new_id(), digest, 0, LARGE[:CHUNK_BYTES]),
        )
    story = await send(desk, "carrier", a_file("l.bin", LARGE))
    assert short(LARGE) in story["deliveries"][0]["reference"]
    assert await stored(desk) == (1, 3, 1)
