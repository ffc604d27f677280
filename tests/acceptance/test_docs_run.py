"""What the documentation tells its readers to type, typed: the commands, the plugins."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from almenara.testing import Answer as HttpAnswer
from almenara.testing import FakeService, SmtpSink
from tests.attached import a_file
from tests.forms import FilePart, form_of
from tests.pages import Block, blocks, read
from tests.processes import ServerProcess
from tests.serving import make_settings, served, until

pytestmark = [
    pytest.mark.unmeasured,
    pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here"),
]

#: What `key=-` would ask for stands in this file instead: there is no terminal.
_SECRET = "https://hooks.slack.com/services/T000/B000/XXXX"


class Reader:
    """Somebody who reads a page and types its commands into a shell."""

    def __init__(self, server: ServerProcess, directory: Path) -> None:
        self._server = server
        self._directory = directory
        activate = directory / ".venv" / "bin" / "activate"
        activate.parent.mkdir(parents=True)
        activate.write_text(f'export PATH="{Path(sys.executable).parent}:$PATH"\n')
        (directory / "secret").write_text(_SECRET)

    async def type(self, block: Block) -> str:
        """Run a block's commands, and return what they wrote; a refusal fails the test."""
        await self.settled()
        newest = self.api("GET", "/v1/messages?limit=1")["data"]
        script = block.text.replace("http://127.0.0.1:8000", self._server.url)
        script = re.sub(r"=-(?=\s)", "=@secret", script)
        script = re.sub(
            r"(?m)^(almenara log --follow)$",
            r"timeout --foreground --preserve-status -s INT 5 \1",
            script,
        )
        if newest:
            script = re.sub(r"\bID\b", newest[0]["id"], script)
        finished = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-euo", "pipefail", "-c", ". .venv/bin/activate\n" + script],
            cwd=self._directory,
            env=os.environ | {"ALMENARA_URL": self._server.url, "NO_PROXY": "*", "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert "urn:almenara:problem" not in finished.stdout, finished.stdout
        return finished.stdout

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the server behind the page's back."""
        request = urllib.request.Request(
            self._server.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)

    async def settled(self) -> None:
        """Wait until nothing is being sent."""

        async def look() -> bool:
            pages = [f"/v1/deliveries?status={status}" for status in ("pending", "sending")]
            return not any(self.api("GET", page)["data"] for page in pages)

        await until(look)


async def test_the_readmes_commands_send_a_message(tmp_path: Path) -> None:
    make, first, bot = blocks(read("README.md"), "sh")
    assert make.text == "make run\n"
    with ServerProcess(tmp_path) as server:
        reader = Reader(server, tmp_path)

        async def look() -> str | None:
            # The second command comes sooner after the first than from a person's hand.
            written = await reader.type(first)
            return written if '"status":"sent"' in written else None

        await until(look)
        assert "hello: It works" in server.output
        await reader.type(bot)
        topics = {one["name"] for one in reader.api("GET", "/v1/topics")["data"]}
        assert topics == {"hello", "sales", "pricing"}
        channel = reader.api("GET", "/v1/channels/team-slack")
        assert channel["settings"] == {"webhook_url": "********"}


async def test_the_quick_start_shows_what_failed_and_mends_it(tmp_path: Path) -> None:
    _, *commands = blocks(read("docs/quickstart.md"), "sh")
    # As after `make run`: no private network is permitted.
    with ServerProcess(tmp_path, environ={"ALMENARA_EGRESS_ALLOW": ""}) as server:
        reader = Reader(server, tmp_path)
        written = [await reader.type(one) for one in commands]
        await reader.settled()
        [newest] = reader.api("GET", "/v1/messages?limit=1")["data"]
    assert "refused for good" in written[3]
    assert "127.0.0.1 is not a public address" in written[3]
    assert newest["status"] == "sent"


async def test_the_page_on_slack_and_mail_reaches_both(tmp_path: Path) -> None:
    commands = blocks(read("docs/howto/send-to-slack-and-mail.md"), "sh")
    with ServerProcess(tmp_path) as server, SmtpSink() as smtp, FakeService() as http:
        reader = Reader(server, tmp_path)
        for command in commands[:2]:
            await reader.type(command)
            _send_to(reader, http, smtp)
        for command in commands[2:]:
            await reader.type(command)
        await reader.settled()
        posts = [request.json()["text"] for request in http.received]
        mails = [mail.parsed["Subject"] for mail in smtp.mails]
        statuses = {one["status"] for one in reader.api("GET", "/v1/messages")["data"]}
        reader.api("GET", "/v1/topics/opening-hours")
    assert posts.count("I need help with my plan") == 2
    assert "Price list" in mails
    assert statuses == {"sent"}


async def test_the_page_on_failing_channels_fails_over_and_tells(tmp_path: Path) -> None:
    over, show, spare, hear, see = blocks(read("docs/howto/when-a-channel-fails.md"), "sh")
    # As after `make run`: no private network is permitted.
    with ServerProcess(tmp_path, environ={"ALMENARA_EGRESS_ALLOW": ""}) as server:
        reader = Reader(server, tmp_path)
        await reader.type(over)
        did = await reader.type(show)
        spared = await reader.type(spare)
        await reader.type(hear)
        sent, logged = see.text.rstrip().split("\n")
        await reader.type(Block("sh", sent))
        await reader.settled()
        log = await until(lambda: _told(reader, logged))
    assert "sent by log" in did
    assert "paused" in spared
    assert "almenara.delivery-failed" in log


async def test_the_page_on_drills_verifies_and_shows_it(tmp_path: Path) -> None:
    check, schedule, hear, see = blocks(read("docs/howto/fire-drill.md"), "sh")
    with ServerProcess(tmp_path, environ={"FILE_DIRECTORY": str(tmp_path)}) as server:
        reader = Reader(server, tmp_path)
        checked = await reader.type(check)
        for command in (schedule, hear):
            await reader.type(command)
        seen = await reader.type(see)
    assert re.search(
        r"Channel archive: ok, after \d+ ms\. archive\.jsonl can be written\.", checked
    )
    assert re.search(r"log +no check", checked)
    assert re.search(r"drilled +every 1h", seen)
    assert re.search(r"last drill +ok, \d{4}-", seen)
    assert re.search(r"archive +File +yes +active +ok, ", seen)


async def _told(reader: Reader, command: str) -> str | None:
    """Type a command until the router's news are among what it shows."""
    shown = await reader.type(Block("sh", command))
    return shown if "delivery-failed" in shown else None


async def test_the_page_on_watching_shows_what_was_counted(tmp_path: Path) -> None:
    look, fleet, charts, live, see = blocks(read("docs/howto/watch-it.md"), "sh")
    with ServerProcess(tmp_path) as server:
        reader = Reader(server, tmp_path)
        assert 'almenara_deliveries_pending{channel="log"} 0.0' in await reader.type(look)
        seen = await reader.type(see)
        charted = await reader.type(charts)
        # It has no end of its own.
        heard = f"{live.text.rstrip()} -m 4 || test $? = 28"
        told = await reader.type(
            Block("sh", f"(sleep 1; almenara send hello Live >sent) & {heard}")
        )
    assert '"step_seconds":60' in charted
    assert '"kind":"server"' in charted
    assert re.search(r'event: message\nid: .+\ndata: {"id":".+"description":"Live"', told)
    assert "almenara_messages_accepted_total 1.0" in seen
    assert re.search(r'channel="log",outcome="sent"} 1\.0', seen)
    # `tests/acceptance/test_metrics_shared.py` starts one.
    options = read("docs/reference/cli.md").partition("## almenara worker")[2]
    assert all(f"`{one} " in options for one in re.findall(r"--[a-z-]+", fleet.text))


async def test_the_page_on_conditions_shows_what_would_and_what_did_happen(tmp_path: Path) -> None:
    commands = blocks(read("docs/howto/choose-who-gets-what.md"), "sh")
    with ServerProcess(tmp_path) as server:
        reader = Reader(server, tmp_path)
        written = [await reader.type(one) for one in commands[:-1]]
        sent, shown = commands[-1].text.rstrip().split("\n")
        await reader.type(Block("sh", sent))
        did = await reader.type(Block("sh", shown))
    assert 'data.customer.country is "ES" or "PT"' in written[0]
    assert "text: orders: Order 4711 is paid" in written[-1]
    assert "Finished: sent by pager and log." in did


def _send_to(reader: Reader, http: FakeService, smtp: SmtpSink) -> None:
    """Point the page's channels to this machine."""
    reader.api(
        "PATCH", "/v1/channels/team-slack", {"settings": {"webhook_url": f"{http.url}/services"}}
    )
    here = {"server": smtp.host, "port": smtp.port}
    gone = dict.fromkeys(("starttls", "username", "password"))
    reader.api("PATCH", "/v1/channels/backoffice-mail", {"settings": here | gone})


async def test_messages_are_worded_and_webhooks_taken(tmp_path: Path) -> None:
    words, api, named, own, preview = blocks(read("docs/howto/word-messages.md"), "sh")
    with ServerProcess(tmp_path) as server:
        reader = Reader(server, tmp_path)
        await reader.type(words)
        await reader.settled()
        assert "**Ana** ordered 2 things for 19.50 EUR" in server.output
        await reader.type(api)
        assert json.loads(await reader.type(named))["topic"] == "hello"
        assert json.loads((await reader.type(own)).splitlines()[-1])["topic"] == "monitor"
        [taken, _, _] = reader.api("GET", "/v1/messages")["data"]
        assert (taken["title"], taken["priority"]) == ("shop.example.org is down", 1)
        written = await reader.type(preview)
        assert "shop.example.org is up" in written
        assert "It would send:" in written


async def test_files_are_sent_and_read_again(tmp_path: Path) -> None:
    send, form, in_json, see = blocks(read("docs/howto/send-files.md"), "sh")
    with ServerProcess(tmp_path) as server:
        reader = Reader(server, tmp_path)
        await reader.type(send)
        for one in (form, in_json):
            assert json.loads(await reader.type(one))["topic"] == "hello"
        assert (await reader.type(see)).startswith("one,two\n")
        for message in reader.api("GET", "/v1/messages")["data"]:
            assert [one["name"] for one in message["attachments"]] == ["report.csv"]
            assert message["attachments"][0]["size"] == 8


async def test_an_upgrade_begins_with_a_backup_and_ends_with_a_message(tmp_path: Path) -> None:
    make, see = blocks(read("docs/howto/upgrade.md"), "sh")
    with ServerProcess(tmp_path) as server:
        reader = Reader(server, tmp_path)
        assert "every page checked" in await reader.type(make)
        assert "sent" in await reader.type(see)


async def test_a_backup_is_made_and_rehearsed(tmp_path: Path) -> None:
    make, keep, rehearse = blocks(read("docs/howto/back-up.md"), "sh")
    with ServerProcess(tmp_path) as server:
        reader = Reader(server, tmp_path)
        made = await reader.type(make)
        await reader.type(keep)
        seen = await reader.type(rehearse)
    assert "every page checked" in made
    assert "Restored 0 messages" in seen
    assert "channel log: Log can be built." in seen


@pytest.mark.parametrize("page", ["README.md", "docs/howto/write-a-plugin.md"])
async def test_the_plugins_on_the_page_load_and_send(page: str, tmp_path: Path) -> None:
    classes = _write_plugins(blocks(read(page), "python"), tmp_path)
    with FakeService() as http, SmtpSink() as smtp:
        async with served(make_settings(tmp_path)) as client:
            settings: dict[str, dict[str, Any]] = {
                "Letter": {"server": smtp.host, "port": smtp.port, "to": "ana@example.org"},
                "Pager": {"url": f"{http.url}/topic"},
                "Carrier": {"url": f"{http.url}/topic"},
                "Crate": {"url": f"{http.url}/crate"},
                "Paper": {"path": f"{tmp_path}/paper"},
            }
            assert (await client.get("/v1/plugins")).body["broken"] == []
            for name in classes:
                body = {"plugin": name, "settings": settings.get(name, {})}
                written = await client.call("PUT", f"/v1/channels/{name.lower()}", body)
                assert (written.status, written.body["warnings"]) == (201, []), written.text
                message = {"channel": name.lower(), "description": "Fly home"}
                files = {"attachments": [a_file("map.txt", b"home")]} if name == "Crate" else {}
                accepted = await client.post("/v1/messages", message | files)
                story = await client.final(accepted.body["id"])
                assert story["status"] == "sent", story
            assert "Pager" not in classes or b"Fly home" in {one.body for one in http.received}
            if "Crate" in classes:
                [crate] = [one for one in http.received if one.target == "/crate"]
                file = FilePart("map.txt", "text/plain", b"home")
                assert await form_of(crate) == {"text": "Fly home", "file0": file}
            assert "Letter" not in classes or smtp.mails[0].text == "Fly home\n"
            if "Carrier" in classes:
                drill = (await client.post("/v1/channels/carrier/verify")).body
                assert drill["detail"] == "The carrier is there."
            assert "Paper" not in classes or "Fly home" in (tmp_path / "paper").read_text()


@pytest.mark.parametrize("plugin", ["pager", "letter"])
def test_the_tests_on_the_page_about_plugins_pass(tmp_path: Path, plugin: str) -> None:
    _write_plugins(blocks(read("docs/howto/write-a-plugin.md"), "python"), tmp_path)
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"plugins/{plugin}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in finished.stdout, finished.stdout


async def test_the_commands_on_the_page_about_plugins_work(tmp_path: Path) -> None:
    page = read("docs/howto/write-a-plugin.md")
    _write_plugins(blocks(page, "python")[:1], tmp_path)
    with ServerProcess(tmp_path) as server:
        reader = Reader(server, tmp_path)
        for command in blocks(page, "sh"):
            await reader.type(command)
        [newest] = reader.api("GET", "/v1/messages?limit=1")["data"]
    assert newest["description"] == "Fly home"
    assert (tmp_path / "plugins" / "threema" / "threema.py").is_file()


async def test_the_commands_on_the_page_about_replays_work(tmp_path: Path) -> None:
    look, send, api, stop, show, failed = blocks(read("docs/howto/replay.md"), "sh")
    with FakeService() as receiver, ServerProcess(tmp_path) as server:
        reader = Reader(server, tmp_path)
        channel = {"plugin": "Webhook", "settings": {"url": receiver.url}}
        await asyncio.to_thread(reader.api, "PUT", "/v1/channels/team-slack", channel)

        async def fail(count: int) -> None:
            receiver.answer = HttpAnswer(404)
            message = {"channel": "team-slack", "description": "x"}
            for _ in range(count):
                await asyncio.to_thread(reader.api, "POST", "/v1/messages", message)
            await reader.settled()
            receiver.answer = HttpAnswer(200)

        await fail(3)
        assert "3 deliveries would be sent again." in await reader.type(look)
        # There is no terminal to ask on.
        asked = Block("sh", send.text.replace("--rate", "--yes --rate"))
        assert "is done: 3 sent again" in await reader.type(asked)
        await fail(2)
        # Nobody waits until a schedule is exhausted.
        written = await reader.type(Block("sh", api.text.replace("exhausted", "permanent")))
        assert '"count":2' in written
        await fail(2)
        slow = {"channel": "team-slack", "rate": "1/h"}
        replay = await asyncio.to_thread(reader.api, "POST", "/v1/replays", slow)
        for block, expected in ((stop, "cancelled"), (show, "cancelled"), (failed, '"data"')):
            known = re.sub(r"\bID\b", replay["id"], block.text)
            assert expected in await reader.type(Block("sh", known))


def _write_plugins(code: Sequence[Block], directory: Path) -> list[str]:
    """Write each block to the file that its first line names, and return the classes' names."""
    classes = []
    for block in code:
        name = re.match(r"# (plugins/\w+/\w+\.py)\n", block.text)
        assert name is not None, block.text
        file = directory / name[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text)
        classes += re.findall(r"^class (\w+)", block.text, re.MULTILINE)
    return classes
