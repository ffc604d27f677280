"""Completion in the shell: its script, and names that the server knows, asked quickly or not."""

from __future__ import annotations

import shutil
import socket
import subprocess

import pytest

from almenara.cli import completing
from almenara.testing import Answer
from tests.scripted_server import ScriptedServer, problem
from tests.unit.cli.answers import a_channel, a_topic
from tests.unit.cli.conftest import Cli

_TOPICS = {"data": [a_topic(name="sales"), a_topic(name="salaries"), a_topic(name="ops")]}
_CHANNELS = {"data": [a_channel(name="team-slack"), a_channel(name="mail")]}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_the_shells(cli: Cli, shell: str) -> None:
    ended = cli("completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert f"_ALMENARA_COMPLETE=complete_{shell}" in ended.out.replace(" ", "")
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=ended.out, text=True, check=True)


def test_another_shell_is_refused(cli: Cli) -> None:
    assert cli("completion", "dos").code == 2


def _completed(cli: Cli, monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """Return what bash is told when the last of the words is to be completed."""
    monkeypatch.setenv("_ALMENARA_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(("almenara", *words)))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    ended = cli()
    assert (ended.code, ended.err) == (0, "")
    return ended.out.split()


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("send", "sal"), ["sales", "salaries"]),
        (("topics", "show", "op"), ["ops"]),
        (("topics", "update", "op"), ["ops"]),
        (("log", "--topic", "op"), ["ops"]),
        (("log", "--channel", "te"), ["team-slack"]),
        (("send", "sales", "x", "--channel", "te"), ["team-slack"]),
        (("channels", "test", "m"), ["mail"]),
        (("channels", "verify", "m"), ["mail"]),
        (("topics", "create", "x", "--channel", "m"), ["mail"]),
        (("replay", "--channel", "m"), ["mail"]),
        (("channels", "pau"), ["pause"]),
    ],
)
def test_names_come_from_the_server(
    cli: Cli,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    names: list[str],
) -> None:
    server.answer("GET", "/v1/topics", _TOPICS)
    server.answer("GET", "/v1/channels", _CHANNELS)
    assert _completed(cli, monkeypatch, *words) == names


@pytest.mark.parametrize(
    "answer",
    [problem(401, "No."), Answer(delay=0.5), {}, {"data": [{}]}, [], Answer(body="<html>")],
    ids=["refused", "late", "empty", "nameless", "list", "strange"],
)
def test_a_server_that_does_not_help_is_not_mentioned(
    cli: Cli, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    monkeypatch.setattr(completing, "_PATIENCE_SECONDS", 0.1)
    server.answer("GET", "/v1/topics", answer)
    assert _completed(cli, monkeypatch, "send", "sal") == []


def test_nobody_there_is_not_mentioned(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ALMENARA_URL", f"http://127.0.0.1:{one.getsockname()[1]}")
        assert _completed(cli, monkeypatch, "send", "sal") == []
    monkeypatch.setenv("ALMENARA_URL", "nonsense")
    assert _completed(cli, monkeypatch, "send", "sal") == []
