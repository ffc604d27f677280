"""Plugin files that change while a server or a worker runs."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_celery_worker import server_of
from tests.acceptance.test_crash import client_of
from tests.processes import ServerProcess, WorkerProcess
from tests.serving import Client, make_settings, served, until

#: Returns its version as the service's reference; waits when it is told to.
SOURCE = """
import asyncio
from pathlib import Path
from almenara import PluginSettings

class Sms:
    class Settings(PluginSettings):
        account: str = "none"

    def __init__(self, settings):
        self.account = settings.account

    async def send_message(self, message, background_tasks):
        if message.description == "wait":
            (Path(__file__).parent / "waiting").touch()
            while not (Path(__file__).parent / "go").exists():
                await asyncio.sleep(0.01)
            from .late import WORD
            return "version {version} " + WORD
        return "version {version} of " + self.account

    def close(self):
        with (Path(__file__).parent / "closed").open("a") as file:
            file.write("{version}\\n")
"""


def write(directory: Path, version: int | None) -> None:
    """Write the plugin, as an editor does; without a version, half of it."""
    file = directory / "sms" / "sms.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "class Sms:\n    def send_message(" if version is None else SOURCE
    file.with_suffix(".new").write_text(text.replace("{version}", str(version)))
    (file.parent / "late.py").write_text("WORD = 'to the end'\n")
    file.with_suffix(".new").replace(file)


async def make_channel(client: Client, name: str = "sms") -> None:
    body = {"plugin": "Sms", "retry_schedule": []}
    answer = await client.call("PUT", f"/v1/channels/{name}", body)
    assert answer.status == 201, answer.text


async def send(client: Client, text: str = "hello", channel: str = "sms") -> str:
    answer = await client.post("/v1/messages", {"channel": channel, "description": text})
    assert answer.status == 202, answer.text
    return str(answer.body["id"])


async def attempt(client: Client, message: str) -> Any:
    [delivery] = (await client.final(message))["deliveries"]
    return delivery["attempts"][-1]


async def reference(client: Client, text: str = "hello") -> Any:
    return (await attempt(client, await send(client, text)))["reference"]


async def plugin(client: Client) -> Any:
    """Return what the list says of the plugin, and what of it is broken."""
    body = (await client.get("/v1/plugins")).body
    found = [one for one in body["data"] if one["qualified_name"] == "sms.Sms"]
    return {"found": found[0] if found else None, "broken": body["broken"]}


def seen(client: Client, what: Callable[[Any], bool]) -> Callable[[], Awaitable[Any]]:
    async def look() -> Any:
        listed = await plugin(client)
        return listed if what(listed) else None

    return look


def another(revision: str) -> Callable[[Any], bool]:
    return lambda listed: listed["found"] is not None and listed["found"]["revision"] != revision


@pytest.mark.unmeasured
async def test_a_server_takes_up_what_is_new_changed_broken_mended_and_gone(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "plugins"
    with ServerProcess(tmp_path) as server:
        async with client_of(server) as client:
            write(directory, 1)
            listed = await until(seen(client, lambda one: one["found"] is not None))
            await make_channel(client)
            assert await reference(client) == "version 1 of none"
            write(directory, 2)
            listed = await until(seen(client, another(listed["found"]["revision"])))
            assert await reference(client) == "version 2 of none"
            (directory / "sms" / ".env").write_text("SMS_ACCOUNT=ACM\n")

            async def acme() -> bool:
                return bool(await reference(client) == "version 2 of ACM")

            await until(acme)
            write(directory, None)
            listed = await until(seen(client, lambda one: bool(one["broken"])))
            [broken] = listed["broken"]
            assert broken["runs_on"] == listed["found"]["revision"]
            assert broken["reason"].startswith("sms.py, line 2")
            assert await reference(client) == "version 2 of ACM"
            write(directory, 3)
            listed = await until(seen(client, lambda one: not one["broken"]))
            assert await reference(client) == "version 3 of ACM"
            (directory / "sms" / "sms.py").unlink()
            await until(seen(client, lambda one: one["found"] is None))
            failed = await attempt(client, await send(client))
    lines = [json.loads(line) for line in server.output.splitlines() if line.startswith("{")]
    events = [line["event"] for line in lines]
    assert (failed["outcome"], failed["reference"]) == ("temporary_error", None)
    assert failed["error"].startswith("The plugin 'Sms' is broken: ")
    assert "There is no class with send_message in sms/*.py" in failed["error"]
    told = [line["reason"] for line in lines if line["event"] == "plugin_broken"]
    assert len(told) == 2
    assert told[0] == broken["reason"]
    assert told[1].startswith("There is no class with send_message in sms/*.py")
    assert events.count("plugins_changed") == 5
    assert [line["level"] for line in lines if line["level"] in {"error", "critical"}] == []


async def test_what_is_under_way_ends_on_the_code_that_it_began_with(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    directory = settings.plugins_dir / "sms"
    write(settings.plugins_dir, 1)
    async with served(settings, look_seconds=0.02) as client:
        await make_channel(client)
        first = (await plugin(client))["found"]["revision"]
        waiting = await send(client, "wait")
        await until(exists(directory / "waiting"))
        write(settings.plugins_dir, 2)
        await until(seen(client, another(first)))
        assert await reference(client) == "version 2 of none"
        assert not (directory / "closed").exists()
        (directory / "go").touch()
        assert (await attempt(client, waiting))["reference"] == "version 1 to the end"
        # Closed when nobody uses it any more, and not before.
        await until(exists(directory / "closed"))
        assert (directory / "closed").read_text() == "1\n"
        # The one that is kept without being in use is closed at once.
        shutil.rmtree(directory / "__pycache__", ignore_errors=True)
        write(settings.plugins_dir, 3)

        async def closed() -> bool:
            return (directory / "closed").read_text() == "1\n2\n"

        await until(closed)


SLOW = """
import time
from pathlib import Path
from almenara import PluginSettings

HERE = Path(__file__).parent

class Slow:
    class Settings(PluginSettings): ...

    def __init__(self, settings): ...

    def send_message(self, message, background_tasks):
        (HERE / "begun").touch()
        while not (HERE / "go").exists():
            time.sleep(0.01)
        from .late import WORD
        (HERE / WORD).touch()

    def close(self):
        (HERE / "closed").touch()
"""


async def test_what_goes_on_after_its_deadline_keeps_its_code_too(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    directory = settings.plugins_dir / "slow"
    directory.mkdir(parents=True)
    (directory / "slow.py").write_text(SLOW)
    (directory / "late.py").write_text("WORD = 'late'\n")
    async with served(settings, look_seconds=0.02) as client:
        body = {"plugin": "Slow", "retry_schedule": [], "timeout_seconds": 1}
        assert (await client.call("PUT", "/v1/channels/slow", body)).status == 201
        message = await send(client, channel="slow")
        await until(exists(directory / "begun"))
        assert (await attempt(client, message))["outcome"] == "timeout"
        (directory / "slow.py").unlink()

        async def gone() -> bool:
            names = [one["name"] for one in (await client.get("/v1/plugins")).body["data"]]
            return "Slow" not in names

        await until(gone)
        await client.parts.explainer._previewer._instances.close_retired()
        assert not (directory / "closed").exists()
        (directory / "go").touch()
        await until(exists(directory / "late"))

        async def closed() -> bool:
            await client.parts.explainer._previewer._instances.close_retired()
            return (directory / "closed").exists()

        await until(closed)


async def test_a_file_that_hangs_while_it_is_imported_stops_nothing(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    write(settings.plugins_dir, 1)
    async with served(settings, look_seconds=0.02) as client:
        await make_channel(client)
        hanging = settings.plugins_dir / "hanging" / "hanging.py"
        hanging.parent.mkdir()
        hanging.write_text(
            "import threading\nfrom pathlib import Path\n"
            "Path(__file__).with_name('begun').touch()\nthreading.Event().wait()\n"
        )
        await until(exists(hanging.with_name("begun")))
        for _ in range(5):
            assert await reference(client) == "version 1 of none"


async def test_a_breakage_is_told_once(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    write(settings.plugins_dir, 1)
    async with served(settings, look_seconds=0.02) as client:
        topic = {"name": "almenara.plugin-broken", "channel": "log"}
        assert (await client.post("/v1/topics", topic)).status == 201
        write(settings.plugins_dir, None)
        await until(seen(client, lambda one: bool(one["broken"])))

        async def told() -> Any:
            return (await client.get("/v1/messages?topic=almenara.plugin-broken")).body["data"]

        await until(told)
        # Found to be broken again, with everything else that changes.
        (settings.plugins_dir / "other").mkdir()
        await until(seen(client, lambda one: len(one["broken"]) == 2))

        async def both() -> bool:
            return len(await told()) == 2

        await until(both)
        titles = sorted(one["title"] for one in await told())
    assert titles == ["Plugin broken: other", "Plugin broken: sms.Sms"]


async def test_what_others_can_change_is_warned_of_once(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, look_seconds=0.02) as server:
        async with client_of(server) as client:
            write(tmp_path / "plugins", 1)
            (tmp_path / "plugins" / "sms" / "sms.py").chmod(0o666)
            await until(seen(client, lambda one: one["found"] is not None))
            await until(wrote(server, '"event": "plugin_unsafe"'))
            # Each of them is another change, after which all files are held against the rule.
            for name in ("other", "third"):
                (tmp_path / "plugins" / name).mkdir()
                await until(wrote(server, f"with send_message in {name}/"))
    unsafe = [line for line in server.output.splitlines() if '"event": "plugin_unsafe"' in line]
    assert [json.loads(line)["path"] for line in unsafe] == [f"{tmp_path}/plugins/sms/sms.py"]


def wrote(server: ServerProcess, text: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return text in server.output

    return look


def exists(path: Path) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return await asyncio.to_thread(path.exists)

    return look


@pytest.mark.postgres
@pytest.mark.rabbitmq
@pytest.mark.xdist_group("rabbitmq")
@pytest.mark.unmeasured
async def test_workers_take_files_up_too_and_show_what_they_run(
    tmp_path: Path, postgres_database: Callable[..., str]
) -> None:
    directory, theirs = tmp_path / "plugins", tmp_path / "theirs"
    write(directory, 1)
    write(theirs, 1)
    with server_of(tmp_path, postgres_database(migrated=True)) as server:
        environ = {**server.environ, "ALMENARA_PLUGINS_DIR": str(theirs)}
        with WorkerProcess(environ) as worker:
            async with client_of(server) as client:
                await make_channel(client)
                assert await reference(client) == "version 1 of none"
                listed = await plugin(client)
                assert listed["found"]["differing"] == []
                old = listed["found"]["revision"]
                write(directory, 2)
                write(theirs, None)

                def differs(reason: str | None) -> Callable[[Any], bool]:
                    return lambda one: any(
                        (each["reason"] or "").startswith(reason or "!")
                        for each in one["found"]["differing"]
                    )

                listed = await until(seen(client, differs("sms.py, line 2")))
                [one] = listed["found"]["differing"]
                assert (one["role"], one["revision"]) == ("worker", old)
                assert await reference(client) == "version 1 of none"
                write(theirs, 2)
                await until(seen(client, lambda one: one["found"]["differing"] == []))
                assert await reference(client) == "version 2 of none"
                shutil.rmtree(theirs / "sms")
                shutil.copytree(directory / "sms", theirs / "text")

                async def elsewhere() -> Any:
                    return (await client.get("/v1/plugins")).body["elsewhere"]

                [one] = await until(elsewhere)
                assert (one["qualified_name"], one["role"]) == ("text.Sms", "worker")
                [one] = (await plugin(client))["found"]["differing"]
                assert (one["revision"], one["reason"]) == (None, None)
            worker.stop()
            assert await asyncio.to_thread(worker.wait) == 0
        async with client_of(server) as client:
            assert (await plugin(client))["found"]["differing"] == []
