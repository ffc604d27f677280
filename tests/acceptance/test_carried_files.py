"""Files of a message, handed from one Almenara to another and on to a webhook."""

from __future__ import annotations

import base64
from pathlib import Path

from almenara.testing import FakeService
from tests.attached import LARGE, a_file
from tests.serving import make_settings, served, until

NAME = 'año "2" 😀.bin'


async def test_files_arrive_behind_the_second_tower_as_they_were_sent(tmp_path: Path) -> None:
    with FakeService() as receiver:
        async with served(make_settings(tmp_path)) as client:
            hook = {"plugin": "Webhook", "settings": {"url": receiver.url, "attachments": True}}
            tower = {
                "plugin": "Almenara",
                "settings": {"server": client.url, "channel": "hook"},
            }
            for name, body in (("hook", hook), ("tower", tower)):
                assert (await client.call("PUT", f"/v1/channels/{name}", body)).status == 201
            files = [a_file(NAME, LARGE), a_file("b.txt", b"", media_type="text/csv")]
            message = {"channel": "tower", "description": "Files", "attachments": files}
            accepted = await client.post("/v1/messages", message)
            story = await client.final(accepted.body["id"])
            assert story["status"] == "sent", story

            async def arrived() -> bool:
                return bool(receiver.received)

            await until(arrived)
    read = [
        (one["name"], one["media_type"], base64.b64decode(one["content"]))
        for one in receiver.received[0].json()["attachments"]
    ]
    assert read == [(NAME, "application/octet-stream", LARGE), ("b.txt", "text/csv", b"")]
