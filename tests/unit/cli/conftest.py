"""What tests of the command line get: a server that answers as told, and commands to run."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from almenara.cli import run
from tests.scripted_server import ScriptedServer


@dataclass(frozen=True)
class Ended:
    """What a command wrote, and what it ended with."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """Standard error as one line, without the box around it."""
        return " ".join(self.err.replace("│", " ").split())


Cli = Callable[..., Ended]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No terminal of anybody's, and a zone in which local times differ from UTC by half an hour."""
    with monkeypatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        patch.setenv("TZ", "XYZ-05:30")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A server that the commands talk to."""
    with ScriptedServer() as one:
        monkeypatch.setenv("ALMENARA_URL", one.url)
        yield one


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process: ``cli("send", "sales", "text")``."""

    def command(*arguments: str, stdin: bytes = b"") -> Ended:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        code = run(arguments)
        written = capsys.readouterr()
        return Ended(code, written.out, written.err)

    return command
