"""What is written: tables that fit, texts that command no terminal, times as people read them."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from almenara.cli.moments import read_moment, show_moment, show_short
from almenara.cli.output import Column, clean, one_line, print_table
from tests.scripted_server import ScriptedServer
from tests.unit.cli.answers import a_topic
from tests.unit.cli.conftest import Cli

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)


def test_controls_are_made_visible() -> None:
    text = "a\x1b[31mb\x07\x9b\u202ec\u2066\rd\te\nf"
    assert clean(text) == "a\\x1b[31mb\\x07\\x9b\\u202ec\\u2066\\rd\te\nf"
    assert one_line(text) == "a\\x1b[31mb\\x07\\x9b\\u202ec\\u2066 d e f"


def test_a_preview_is_cut() -> None:
    assert one_line("x" * 300) == "x" * 199 + "…"
    assert one_line("  a \n\n b  ") == "a b"


def test_a_table_is_never_wider_than_the_terminal_and_keeps_what_is_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    columns = (Column("id", whole=True), Column("text"), Column("cut", one_line=True))
    print_table(columns, [("0123456789", "several words " * 3, "日本語" * 20)])
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "ID          TEXT           CUT",
        "0123456789  several words  日本語日本語…",
        "            several words",
        "            several words",
    ]


def test_a_terminal_that_is_far_too_narrow_still_gets_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "5")
    print_table((Column("id", whole=True), Column("text")), [("0123456789", "ab")])
    assert all(len(line) <= 5 for line in capsys.readouterr().out.splitlines())


def test_into_a_file_lines_are_not_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    print_table((Column("a"), Column("b")), [("x" * 300, "[bold]y[/bold] :smile:")])
    assert capsys.readouterr().out.splitlines()[1] == "x" * 300 + "  [bold]y[/bold] :smile:"


def test_statuses_are_coloured_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    print_table((Column("status", status=True), Column("text")), [("failed", "failed")])
    monkeypatch.undo()
    assert terminal.getvalue().count("\x1b[31m") == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        (" 1H30m ", NOW - timedelta(minutes=90)),
        ("1w2d", NOW - timedelta(days=9)),
        ("0s", NOW),
        ("2026-11-23T10:00:00Z", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("2026-11-23T10:00+02:00", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("2026-11-23", datetime(2026, 11, 22, 18, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_duration_or_iso(text: str, moment: datetime) -> None:
    assert read_moment(text, "--since", now=NOW) == moment.isoformat()


def test_a_duration_may_count_forwards() -> None:
    found = read_moment("1d", "--send-at", now=NOW, towards="future")
    assert found == "2026-11-24T22:00:00+00:00"
    assert read_moment(None, "--send-at", now=NOW) is None


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1h ago", "999999w", "2026-13-01", "1m1"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="neither a duration"):
        read_moment(text, "--since", now=NOW)


def test_times_are_shown_in_local_time() -> None:
    text = NOW.isoformat()
    assert show_moment(text) == "2026-11-24 03:30:00"
    assert show_moment(None) == ""
    assert show_short(text, now=NOW) == "03:30:00"
    assert show_short(text, now=NOW + timedelta(days=3)) == "11-24 03:30"


@pytest.mark.timeout(30)
def test_a_terminal_without_a_letter_gets_its_escape(server: ScriptedServer) -> None:
    server.answer("GET", "/v1/topics", {"data": [a_topic(name="añil")]})
    finished = subprocess.run(
        [sys.executable, "-m", "almenara", "topics"],
        env={"PYTHONPATH": str(ROOT), "ALMENARA_URL": server.url, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "a\\xf1il" in finished.stdout


def test_a_stream_that_is_no_file_is_written_all_the_same(
    cli: Cli, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer("GET", "/v1/topics", {"data": [a_topic()]})
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    assert cli("topics").code == 0
    assert "sales" in written.getvalue()
