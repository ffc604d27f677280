"""Every table fits the terminal, narrow or wide, and no id in it is cut."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from rich.cells import cell_len

from tests.scripted_server import ScriptedServer
from tests.unit.cli.answers import (
    BEGIN,
    a_channel,
    a_delivery,
    a_message,
    a_story,
    a_topic,
    an_attempt,
    an_entry,
    page,
)
from tests.unit.cli.conftest import Cli

_ID = str(uuid.UUID(int=2**127 + 7))
_LONG = "word " * 60 + "日本語" * 20
_NAME = "a-channel-with-a-name-of-64-letters".ljust(64, "x")
_REPLAY = {
    "id": _ID,
    "status": "cancelled",
    "filters": {"channel": _NAME, "reason": "unknown_outcome"},
    "resent_count": 123_456,
    "total_count": 1_234_567,
    "created_at": BEGIN,
}
_ENTRY = {
    "id": _ID,
    "subject": "somebody@example.org",
    "action": "delivery.cancelled",
    "object": f"delivery:{_ID}",
    "before": {"status": "pending"},
    "after": None,
    "created_at": BEGIN,
}
_DRILL = {
    "channel": _NAME,
    "supported": True,
    "verified": True,
    "detail": _LONG,
    "error": None,
    "duration_ms": 12,
    "verified_at": BEGIN,
}
_PLUGIN = {
    "name": "Pager",
    "qualified_name": "a_directory_with_a_long_name.Pager",
    "source": "custom",
    "file": "/a/long/path/plugins/a_directory_with_a_long_name/pager.py",
    "revision": "0a1b2c3d",
    "settings_schema": None,
    "secret_fields": [],
    "verifies": False,
    "differing": [],
}
_BROKEN = {
    "name": "Broken",
    "directory": "broken",
    "file": "broken/broken.py",
    "reason": _LONG,
    "traceback": None,
    "runs_on": None,
}
_DELIVERY = a_delivery(
    an_attempt(error=_LONG), id=_ID, channel=_NAME, status="cancelled", reason="unknown_outcome"
)
_STORY = a_story(
    _DELIVERY,
    id=_ID,
    timeline=[an_entry(text=_LONG, channel=_NAME, event="attempt_unknown")],
    description=_LONG,
)

#: Each command with what the server answers, and what must stand there whole.
_COMMANDS: dict[str, tuple[Any, list[str]]] = {
    "log": (page(a_message(id=_ID, topic=_NAME, title=_LONG)), [_ID]),
    "replays": ({"data": [_REPLAY], "next_cursor": None}, [_ID]),
    "topics": ({"data": [a_topic(name=_NAME, channels=[{"channel": _NAME}] * 3)]}, []),
    "channels": ({"data": [a_channel(name=_NAME, state="paused", state_detail=_LONG)]}, []),
    "plugins": ({"data": [_PLUGIN], "broken": [_BROKEN], "elsewhere": []}, []),
    "audit": ({"data": [_ENTRY], "next_cursor": None}, []),
}


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("command", _COMMANDS)
def test_lists_fit(
    cli: Cli, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, command: str, width: int
) -> None:
    body, whole = _COMMANDS[command]
    path = "/v1/messages" if command == "log" else f"/v1/{command}"
    server.answer("GET", path, body)
    _check(cli, monkeypatch, width, command=[command], whole=whole)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_story_fits(
    cli: Cli, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    server.answer("GET", f"/v1/messages/{_ID}", _STORY)
    # Its text and the sentences stand as they are; the terminal breaks them.
    _check(cli, monkeypatch, width, command=["show", _ID], whole=[_ID], apart=_LONG.strip())


@pytest.mark.parametrize("width", [40, 80, 200])
def test_what_was_verified_fits(
    cli: Cli, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    server.answer("GET", "/v1/channels", {"data": [a_channel(name=_NAME)]})
    server.answer("POST", f"/v1/channels/{_NAME}/verify", _DRILL)
    _check(cli, monkeypatch, width, command=["channels", "verify", "--all"], whole=[])


def _check(
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    *,
    command: list[str],
    whole: list[str],
    apart: str | None = None,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    ended = cli(*command)
    assert ended.code == 0, ended.err
    lines = [one for one in ended.out.splitlines() if one.strip() != apart]
    assert len(lines) > 1
    assert [line for line in lines if cell_len(line) > width] == []
    assert [text for text in whole if text not in ended.out] == []
