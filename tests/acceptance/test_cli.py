"""The command line against a real server: what the README and the issue promise of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from almenara.testing import Answer, FakeService
from tests.processes import ServerProcess

ROOT = Path(__file__).parents[2]
Almenara = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.timeout(120), pytest.mark.unmeasured]


@pytest.fixture
def receiver() -> Iterator[FakeService]:
    with FakeService() as one:
        yield one


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def server(directory: Path) -> Iterator[ServerProcess]:
    with ServerProcess(directory, environ={"PYTHONPATH": str(ROOT)}) as one:
        assert one.url, one.output
        yield one


def _environ(server: ServerProcess) -> dict[str, str]:
    return server.environ | {"ALMENARA_URL": server.url, "COLUMNS": "200"}


@pytest.fixture
def almenara(server: ServerProcess) -> Almenara:
    """Run a command as a process of its own: ``almenara("send", "hello", "text")``."""

    def run(*arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        finished = subprocess.run(
            [sys.executable, "-m", "almenara", *arguments],
            env=_environ(server),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == code, finished.stdout + finished.stderr
        return finished

    return run


def test_the_first_message_of_a_new_server_is_sent_and_shown(almenara: Almenara) -> None:
    sent = almenara("send", "Hello", "It works", "--title", "First", "--wait", "--json")
    story = json.loads(sent.stdout)
    assert story["status"] == "sent"
    assert "First: It works" in almenara("log", "--topic", "hello").stdout
    shown = almenara("show", story["id"]).stdout
    assert [one for one in shown.splitlines() if "Attempt 1 sent it" in one]
    assert (
        json.loads(almenara("log", "--json", "--since", "1h").stdout)["data"][0]["id"]
        == (story["id"])
    )


def test_a_channel_and_a_topic_are_made_used_and_removed(
    almenara: Almenara, receiver: FakeService
) -> None:
    hook = f"{receiver.url}/secret-path"
    almenara(
        "channels", "create", "team", "--plugin", "Slack", "--set", "webhook_url=-", stdin=hook
    )
    assert "secret-path" not in almenara("channels", "show", "team").stdout
    almenara("channels", "test", "team")
    almenara("topics", "create", "sales", "--channel", "team", "--channel", "log")
    almenara("send", "sales", "-", "--wait", stdin="from a pipe\n")
    assert "from a pipe" in str(receiver.received[-1].body)
    refused = almenara("channels", "delete", "team", code=1).stderr
    assert "sales" in refused
    assert "--force" in refused
    almenara("channels", "update", "team", "--disabled")
    assert "no " in almenara("channels").stdout.partition("team")[2]
    almenara("topics", "update", "sales", "--channel", "log")
    almenara("channels", "delete", "team")
    almenara("topics", "delete", "sales")
    assert json.loads(almenara("topics", "--json").stdout)["data"][0]["name"] == "hello"


def test_what_failed_is_shown_and_sent_again(almenara: Almenara, receiver: FakeService) -> None:
    hook = f"{receiver.url}/"
    receiver.answer = Answer(404)
    create = ("channels", "create", "hook", "--plugin", "Webhook", "--set", f"url={hook}")
    almenara(*create, "--retry", "1h", "--timeout", "5")
    almenara("topics", "create", "ops", "--channel", "hook")
    story = json.loads(almenara("send", "ops", "x", "--wait", "--json", code=1).stdout)
    assert story["status"] == "failed"
    assert "404" in almenara("show", story["id"]).stdout
    assert "404" in almenara("channels", "test", "hook", code=1).stdout
    assert story["id"] in almenara("log", "--status", "failed").stdout

    receiver.answer = Answer(503)
    almenara("resend", story["id"])
    _wait_for_an_attempt(almenara, story["id"])
    cancelled = almenara("cancel", story["id"]).stdout
    assert "cancelled" in cancelled
    receiver.answer = Answer(200)
    again = json.loads(almenara("resend", story["id"], "--json").stdout)
    assert len(again["deliveries"]) == 3
    assert "only a held one" in almenara("release", again["deliveries"][0]["id"], code=1).stderr
    almenara("cancel", story["deliveries"][0]["id"], "--delivery", code=1)


def _wait_for_an_attempt(almenara: Almenara, message_id: str) -> None:
    """Wait until the newest delivery of a message was attempted."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        story = json.loads(almenara("show", message_id, "--json").stdout)
        if story["deliveries"][-1]["attempts"]:
            return
    pytest.fail("it was not attempted in time")


def test_what_is_handed_in_twice_under_one_key_is_stored_once(almenara: Almenara) -> None:
    tomorrow = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    command = ("send", "hello", "Once", "--key", "k", "--expires-at", tomorrow.isoformat())
    first = almenara(*command, "--collapse-key", "c")
    again = almenara(*command, "--collapse-key", "c")
    assert "handed in before" not in first.stdout
    assert "which was handed in before" in again.stdout
    [message] = json.loads(almenara("log", "--json").stdout)["data"]
    assert message["collapse_key"] == "c"
    assert datetime.fromisoformat(message["expires_at"]) == tomorrow
    other = almenara("send", "hello", "Another", "--key", "k", code=1)
    assert "This Idempotency-Key came with another message before" in other.stderr


def test_mistakes_are_answered_with_what_is_wrong(almenara: Almenara) -> None:
    assert "There is no topic" in almenara("send", "nowhere", "x", code=1).stderr
    assert "There is no message" in almenara("show", "nonsense", code=1).stderr
    assert "status" in almenara("log", "--status", "nonsense", code=1).stderr
    wrong = ("channels", "create", "x", "--plugin", "Slack", "--set", "webhook_ulr=hidden")
    refused = almenara(*wrong, code=1).stderr
    assert "settings.webhook_ulr" in refused
    assert "hidden" not in refused


def test_plugins_are_listed_shown_and_made(
    almenara: Almenara, directory: Path, receiver: FakeService, server: ServerProcess
) -> None:
    listed = almenara("plugins").stdout
    assert {"email.Email", "log.Log", "slack.Slack", "webhook.Webhook"} <= set(listed.split())
    assert "The mail server's name" in almenara("plugins", "show", "Email").stdout
    almenara("plugins", "new", "threema")
    (directory / "plugins" / "wrong").mkdir()
    (directory / "plugins" / "wrong" / "wrong.py").write_text("class Wrong(:\n")
    server.send_signal(signal.SIGTERM)
    server.wait()
    server.start()
    listed = almenara("plugins").stdout
    assert "threema.Threema" in listed
    assert "wrong.py" in listed.partition("BROKEN")[2]
    hook = f"url={receiver.url}/"
    almenara("channels", "create", "tg", "--plugin", "Threema", "--set", hook)
    almenara("channels", "test", "tg")
    assert receiver.received[-1].json()["title"] == "Test"


def test_following_the_log_shows_what_comes_until_ctrl_c(
    almenara: Almenara, server: ServerProcess
) -> None:
    almenara("send", "hello", "before", "--wait")
    with subprocess.Popen(
        [sys.executable, "-m", "almenara", "log", "--follow", "--json"],
        env=_environ(server) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["description"] == "before"
        almenara("send", "hello", "while following")
        assert json.loads(following.stdout.readline())["description"] == "while following"
        os.kill(following.pid, signal.SIGINT)
        assert following.wait(20) == 0
