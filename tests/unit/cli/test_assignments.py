"""Settings on the command line, and secrets that stand in nobody's history."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scripted_server import ScriptedServer
from tests.unit.cli.answers import a_channel
from tests.unit.cli.conftest import Cli, Ended

ROOT = Path(__file__).parents[3]


@pytest.fixture
def channels(server: ScriptedServer) -> ScriptedServer:
    """A server that takes every channel."""
    server.answer("POST", "/v1/channels", a_channel(), status=201)
    return server


@pytest.fixture
def in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with a file that is no text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff")


def _create(cli: Cli, *assignments: str, stdin: bytes = b"") -> Ended:
    options = [part for one in assignments for part in ("--set", one)]
    return cli("channels", "create", "x", "--plugin", "X", *options, stdin=stdin)


def _settings(server: ScriptedServer) -> Any:
    return server.asked[-1].json()["settings"]


def test_each_way_of_writing_a_setting_is_read(
    cli: Cli, channels: ScriptedServer, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("first\nsecond\n\n")
    ended = _create(
        cli,
        "url=https://example.org/?a=b&c:=d",
        "port:=587",
        'headers:={"X-A": "b"}',
        'dash:="-"',
        f"key=@{tmp_path / 'secret'}",
        "empty=",
        "port:=588",
    )
    assert ended.code == 0
    assert _settings(channels) == {
        "url": "https://example.org/?a=b&c:=d",
        "port": 588,
        "headers": {"X-A": "b"},
        "dash": "-",
        "key": "first\nsecond\n",
        "empty": "",
    }


def test_without_a_terminal_a_dash_takes_the_next_line_of_standard_input(
    cli: Cli, channels: ScriptedServer
) -> None:
    _create(cli, "password=-", "token=-", stdin="geheim ñ\nanother\n".encode())
    assert _settings(channels) == {"password": "geheim ñ", "token": "another"}


@pytest.mark.usefixtures("in_a_directory")
@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("hidden", "key=value"),
        ("=hidden", "key=value"),
        ("key:={hidden", "key: what follows := is not JSON"),
        ("key=@nowhere", "key: nowhere cannot be read"),
        ("key=@binary", "is not UTF-8"),
        ("key=-", "key: nothing was given"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named_and_not_shown(
    cli: Cli,
    channels: ScriptedServer,
    assignment: str,
    said: str,
) -> None:
    ended = _create(cli, assignment)
    assert ended.code == 2
    assert said in ended.complaint
    assert "hidden" not in ended.err
    assert channels.asked == []


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("typed", "code"), [(b"geheim\n", 0), (b"\x04", 2)])
def test_on_a_terminal_a_dash_asks_without_an_echo(
    channels: ScriptedServer, typed: bytes, code: int
) -> None:
    ours, theirs = pty.openpty()
    command = ["channels", "create", "x", "--plugin", "X", "--set", "password=-"]
    with subprocess.Popen(
        [sys.executable, "-m", "almenara", *command],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = b""
        while b"password: " not in shown:
            shown += os.read(ours, 1024)
        os.write(ours, typed)
        shown += _rest(ours)
        assert process.wait(10) == code, shown
    os.close(ours)
    assert b"geheim" not in shown
    if code == 0:
        assert _settings(channels) == {"password": "geheim"}


def _rest(terminal: int) -> bytes:
    """Read until the other side is closed, which Linux tells by an error."""
    shown = b""
    try:
        while piece := os.read(terminal, 1024):
            shown += piece
    except OSError:
        pass
    return shown
