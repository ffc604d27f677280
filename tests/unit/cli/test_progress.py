"""Bars for long work: on a terminal, on standard error, and nowhere else."""

from __future__ import annotations

import pytest

from almenara.cli.progress import progress
from tests.scripted_server import ScriptedServer
from tests.unit.cli.conftest import Cli

_REPLAY = {
    "id": "019aa2f0-7c22-7000-9d0c-3f1d2b7a6e88",
    "status": "done",
    "total_count": 1_200,
    "resent_count": 1_000,
    "skipped_count": 200,
    "deliveries": {"pending": 0, "sending": 0, "sent": 990, "failed": 10, "held": 0},
}


@pytest.fixture
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.usefixtures("_terminal")
def test_a_terminal_is_shown_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as tell:
        tell("messages", 3, 12)
        tell("attempts", 4, 4)
    written = capsys.readouterr()
    assert "messages" in written.err
    assert " 3/12" in written.err
    assert "4/4" in written.err
    assert written.out == ""


@pytest.mark.usefixtures("_terminal")
def test_a_replay_is_shown_as_it_goes(cli: Cli, server: ScriptedServer) -> None:
    path = f"/v1/replays/{_REPLAY['id']}"
    server.answer("POST", "/v1/replays", _REPLAY | {"status": "running"}, status=202)
    server.answer("GET", path, _REPLAY)
    ended = cli("replay", "--channel", "mail", "--yes")
    assert (ended.code, ended.out.count("1200/1200")) == (0, 0)
    assert "1200/1200" in ended.err


def test_elsewhere_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(in_bytes=True) as tell:
        tell("copied", 3, 12)
    assert capsys.readouterr() == ("", "")
