"""Every log line of the process goes to standard error, in one format."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from almenara.telemetry import configure, get_logger

QUIET = ("aiosqlite", "tortoise", "asyncio", "uvicorn.access", "uvicorn.error")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Give the process its logging back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in QUIET}
    for name in QUIET:
        # A server that another test ran in this process has silenced some for good.
        logging.getLogger(name).propagate = True
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, one in levels.items():
        logging.getLogger(name).setLevel(one)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Captured:
    """What was written to standard error, and nothing to standard output."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def getvalue(self) -> str:
        written = self._capsys.readouterr()
        assert written.out == ""
        return written.err


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Captured:
    return Captured(capsys)


def lines(stream: Captured | Terminal) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail_with_a_secret_in_a_local(secret: str) -> None:
    raise ValueError(f"{len(secret)} characters do not fit")


def test_a_json_line_has_the_event_the_time_the_level_and_the_ids(stderr: Captured) -> None:
    configure("json")
    get_logger("dispatch").warning("attempt_failed", message_id="m-1", delivery_id="d-1")
    [line] = lines(stderr)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("timestamp"))
    assert line == {
        "event": "attempt_failed",
        "level": "warning",
        "logger": "almenara.dispatch",
        "message_id": "m-1",
        "delivery_id": "d-1",
    }


def test_a_line_for_people_has_the_same_in_one_line(stderr: Captured) -> None:
    configure("human")
    get_logger("dispatch").warning("attempt_failed", message_id="m-1", delivery_id="d-1")
    [line] = stderr.getvalue().splitlines()
    for part in ("warning", "attempt_failed", "almenara.dispatch", "message_id=m-1"):
        assert part in line
    assert "\x1b" not in line


def test_on_a_terminal_lines_are_for_people_and_elsewhere_json(
    stderr: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure()
    get_logger("app").info("ready")
    assert lines(stderr)[0]["event"] == "ready"
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure()
    get_logger("app").info("ready")
    assert "ready" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


def test_a_terminal_may_still_be_asked_for_json(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure("json")
    get_logger("app").info("ready")
    assert lines(terminal)[0]["event"] == "ready"


def test_ids_that_were_bound_stand_on_every_line_of_their_context(stderr: Captured) -> None:
    configure("json")
    with structlog.contextvars.bound_contextvars(message_id="m-1"):
        get_logger("dispatch").info("one")
        logging.getLogger("somebody.else").info("two")
    get_logger("dispatch").info("three")
    assert [line.get("message_id") for line in lines(stderr)] == ["m-1", "m-1", None]


def test_the_lines_of_libraries_and_plugins_have_the_same_format(stderr: Captured) -> None:
    configure("json")
    logging.getLogger("a.plugin").warning("sent %s of %d", "one", 2, extra={"attempt": 3})
    [line] = lines(stderr)
    assert line.pop("timestamp")
    assert line == {
        "event": "sent one of 2",
        "level": "warning",
        "logger": "a.plugin",
        "attempt": 3,
    }


def test_lines_below_the_level_are_not_written(stderr: Captured) -> None:
    configure("json", "warning")
    get_logger("app").info("quiet")
    logging.getLogger("a.plugin").info("quiet")
    get_logger("app").error("loud")
    assert [line["event"] for line in lines(stderr)] == ["loud"]


def test_debug_shows_everything_but_the_libraries_chatter(stderr: Captured) -> None:
    configure("json", "debug")
    get_logger("app").debug("mine")
    for name in QUIET:
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("trouble")
    assert [line["event"] for line in lines(stderr)] == ["mine"] + ["trouble"] * len(QUIET)


def test_a_logger_made_before_the_set_up_obeys_it(stderr: Captured) -> None:
    early = get_logger("early")
    configure("json")
    early.info("ready")
    assert lines(stderr)[0]["logger"] == "almenara.early"


def test_setting_it_up_twice_writes_each_line_once(stderr: Captured) -> None:
    configure("json")
    configure("json")
    get_logger("app").info("ready")
    assert len(lines(stderr)) == 1


@pytest.mark.parametrize("log_format", ["json", "human"])
def test_the_middle_of_overlong_values_is_cut_out(log_format: Any, stderr: Captured) -> None:
    configure(log_format)
    get_logger("app").info("long", value="a" * 5_000 + "b" * 5_000, number=1)
    logging.getLogger("a.plugin").info("%s%s", "c" * 5_000, "d" * 5_000)
    text = stderr.getvalue().replace("\\u2026", "…")
    for first, last in ("ab", "cd"):
        assert first * 4_000 + "…" + last * 4_000 in text
        assert first * 4_001 not in text


@pytest.mark.parametrize("log_format", ["json", "human"])
def test_a_traceback_is_told_without_the_values_of_variables(
    log_format: Any, stderr: Captured
) -> None:
    configure(log_format)
    try:
        fail_with_a_secret_in_a_local("hunter22 in a local".replace(" ", "-"))
    except ValueError:
        get_logger("app").exception("broken")
        logging.getLogger("a.plugin").exception("broken too")
    text = stderr.getvalue()
    assert text.count("ValueError: 19 characters do not fit") == 2
    assert "hunter22-in-a-local" not in text
    assert "fail_with_a_secret_in_a_local" in text


@pytest.mark.parametrize("log_format", ["json", "human"])
def test_of_an_overlong_traceback_both_ends_are_told(log_format: Any, stderr: Captured) -> None:
    configure(log_format)
    error = ValueError("x" * 100_000 + " at last")
    get_logger("app").error("broken", exc_info=error)
    text = stderr.getvalue()
    assert len(text) < 10_000
    assert "ValueError: xxx" in text
    assert "xxx at last" in text
