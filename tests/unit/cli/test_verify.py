"""`channels verify`, and how the last drill is shown."""

from __future__ import annotations

import json
from typing import Any

from tests.scripted_server import ScriptedServer
from tests.unit.cli.answers import BEGIN, a_channel
from tests.unit.cli.conftest import Cli


def an_outcome(**changes: Any) -> dict[str, Any]:
    return {
        "channel": "team-slack",
        "supported": True,
        "verified": True,
        "detail": "Slack knows the token.",
        "error": None,
        "duration_ms": 120,
        "verified_at": BEGIN,
    } | changes


FAILED = an_outcome(verified=False, detail=None, error="Slack refused the token (invalid_auth).")
NO_CHECK = an_outcome(channel="log", supported=False, verified=False, detail="It has none.")


def test_one_channel_is_verified(cli: Cli, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/channels/team-slack/verify", an_outcome())
    ended = cli("channels", "verify", "team-slack")
    said = "Channel team-slack: ok, after 120 ms. Slack knows the token.\n"
    assert (ended.code, ended.out) == (0, said)
    assert json.loads(cli("channels", "verify", "team-slack", "--json").out) == an_outcome()


def test_a_failure_is_the_commands_too(cli: Cli, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/channels/team-slack/verify", FAILED)
    ended = cli("channels", "verify", "team-slack")
    assert ended.code == 1
    assert "failed, after 120 ms. Slack refused the token (invalid_auth)." in ended.out


def test_a_channel_without_a_check_is_no_failure(cli: Cli, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/channels/log/verify", NO_CHECK)
    ended = cli("channels", "verify", "log")
    assert (ended.code, ended.out) == (0, "Channel log: no check, after 120 ms. It has none.\n")


def test_all_are_verified_one_after_another(cli: Cli, server: ScriptedServer) -> None:
    names = ("gone", "log", "nobody", "team-slack")
    server.answer("GET", "/v1/channels", {"data": [a_channel(name=name) for name in names]})
    server.answer("POST", "/v1/channels/log/verify", NO_CHECK)
    away = {"status": 503, "detail": "No process has made the drill in time."}
    server.answer("POST", "/v1/channels/nobody/verify", away, status=503)
    server.answer("POST", "/v1/channels/team-slack/verify", an_outcome())
    ended = cli("channels", "verify", "--all")
    assert ended.code == 1
    assert [line.split(maxsplit=2)[:2] for line in ended.out.splitlines()] == [
        ["CHANNEL", "RESULT"],
        ["log", "no"],
        ["nobody", "failed"],
        ["team-slack", "ok"],
    ]
    assert "No process has made the drill in time." in ended.out
    told = json.loads(cli("channels", "verify", "--all", "--json").out)["data"]
    assert [one["channel"] for one in told] == ["log", "nobody", "team-slack"]


def test_all_succeed_when_none_fails(cli: Cli, server: ScriptedServer) -> None:
    server.answer("GET", "/v1/channels", {"data": [a_channel()]})
    server.answer("POST", "/v1/channels/team-slack/verify", an_outcome())
    assert cli("channels", "verify", "--all").code == 0


def test_what_is_forbidden_ends_it(cli: Cli, server: ScriptedServer) -> None:
    server.answer("GET", "/v1/channels", {"data": [a_channel(), a_channel(name="x")]})
    refused = {"status": 403, "detail": "The token does not allow this."}
    server.answer("POST", "/v1/channels/team-slack/verify", refused, status=403)
    assert cli("channels", "verify", "--all").code == 77
    assert len(server.asked) == 2


def test_either_a_name_or_all(cli: Cli) -> None:
    assert cli("channels", "verify").code == 2
    assert "Name a channel, or write --all." in cli("channels", "verify", "x", "--all").complaint


def test_the_last_drill_is_shown(cli: Cli, server: ScriptedServer) -> None:
    last = {"verified_at": BEGIN, "verify_detail": "It is away."}
    failed = a_channel(**last, verify_outcome="failed", verify_every="1h")
    server.answer("GET", "/v1/channels/team-slack", failed)
    shown = cli("channels", "show", "team-slack").out.splitlines()
    fields = {line[:13].strip(): line[13:].strip() for line in shown}
    assert fields["drilled"] == "every 1h"
    assert fields["last drill"].startswith("failed, 20")
    assert fields["drill says"] == "It is away."
    none = a_channel(**last, verify_outcome="unsupported")
    server.answer("GET", "/v1/channels", {"data": [failed, none, a_channel(name="x")]})
    listed = cli("channels", "list").out
    assert "failed, " in listed
    assert "no check, " in listed
