"""`almenara plugins try`: a plugin sends once, really, with neither a server nor a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from almenara.cli import run
from almenara.testing import Answer
from tests.scripted_server import ScriptedServer
from tests.unit.cli.conftest import Ended

OWN = """
import time
from almenara import PluginSettings, Receipt, SecretStr, TemporaryError

class Own:
    class Settings(PluginSettings):
        token: SecretStr
        way: str = "none"

    def __init__(self, settings):
        self.settings = settings
        if settings.way == "constructor":
            raise RuntimeError("no " + settings.token.get_secret_value())

    def send_message(self, message, background_tasks):
        token = self.settings.token.get_secret_value()
        match self.settings.way:
            case "text":
                return f"{message.title}/{message.format}/{message.priority}/{message.to}"
            case "receipt":
                return Receipt(reference="id of " + token)
            case "number":
                return 7
            case "raise":
                raise ValueError("bad " + token)
            case "later":
                raise TemporaryError("busy", retry_after=30)
            case "slow":
                time.sleep(2)
"""
Cli = Callable[..., Ended]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process, with a plugin directory of its own."""
    directory = tmp_path / "plugins"
    (directory / "own").mkdir(parents=True)
    (directory / "own" / "own.py").write_text(OWN)
    (directory / "wrong").mkdir()
    (directory / "wrong" / "wrong.py").write_text("class Wrong(:\n")
    monkeypatch.setenv("ALMENARA_PLUGINS_DIR", str(directory))
    monkeypatch.setenv("ALMENARA_DATA_DIR", str(tmp_path / "data"))

    def command(*arguments: str) -> Ended:
        code = run(("plugins", "try", *arguments))
        return Ended(code, *capsys.readouterr())

    return command


@pytest.fixture
def service() -> Iterator[ScriptedServer]:
    with ScriptedServer() as one:
        yield one


def test_a_shipped_plugin_sends_to_a_real_server(
    cli: Cli, service: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMENARA_EGRESS_ALLOW", "127.0.0.0/8")
    service.answer("POST", "/message", {"id": 25}, Answer(401, {"error": "no"}))
    given = ("Gotify", "--set", f"server={service.url}", "--set", "token=hush")
    sent = cli(*given, "--text", "hello", "--title", "T", "--format", "markdown")
    assert (sent.code, sent.out.splitlines()[1]) == (0, "The reference is 25.")
    assert service.asked[0].json()["message"] == "hello"
    refused = cli(*given)
    assert refused.code == 1
    assert "Not sent" in refused.out
    assert refused.out.splitlines()[1] == (
        "Gotify answered 401 (Unauthorized): check the credentials. "
        "A delivery would wait, and the channel be paused."
    )


def test_a_private_address_is_not_reached_unless_it_is_permitted(
    cli: Cli, service: ScriptedServer
) -> None:
    ended = cli("Gotify", "--set", f"server={service.url}", "--set", "token=hush")
    assert ended.code == 1
    assert "ALMENARA_EGRESS_ALLOW" in ended.out
    assert service.asked == []


@pytest.mark.parametrize(
    ("way", "code", "sentence"),
    [
        ("none", 0, "The plugin gave no reference."),
        ("text", 0, "The reference is None/text/3/['a@b.example']."),
        ("receipt", 0, "The reference is id of ********."),
        ("number", 0, "The plugin returned a int, which is not recorded."),
        ("raise", 1, "ValueError: bad ********. A delivery would be tried again."),
        ("later", 1, "busy. A delivery would be tried again, not before 30 s."),
        ("constructor", 1, "A delivery would be tried again."),
    ],
)
def test_what_it_comes_to_is_said_with_what_would_follow(
    cli: Cli, way: str, code: int, sentence: str
) -> None:
    ended = cli("Own", "--set", "token=hush-hush", "--set", f"way={way}", "--to", "a@b.example")
    assert ended.code == code, ended
    assert sentence in ended.out
    assert "hush" not in ended.out + ended.err


def test_what_takes_too_long_is_not_waited_for(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("almenara.trying.TIMEOUT_SECONDS", 0.2)
    ended = cli("Own", "--set", "token=x", "--set", "way=slow")
    assert ended.code == 1
    assert "It had not ended after 0.2 s: a delivery would be unknown." in ended.out


def test_a_secret_may_be_referred_to(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_HUSH", "hush-hush")
    ended = cli("Own", "--set", "token=env:OWN_HUSH", "--set", "way=receipt")
    assert "The reference is id of ********." in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("Nobody",), "There is no plugin 'Nobody'"),
        (("Wrong",), "wrong.py"),
        (("Own",), "token"),
        (("Own", "--set", "token=x", "--set", "colour=red"), "colour"),
    ],
)
def test_what_cannot_be_tried_is_told(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    ended = cli(*arguments)
    assert ended.code == 1
    assert words in ended.out + ended.err
