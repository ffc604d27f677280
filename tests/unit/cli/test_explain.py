"""The command that says what would happen to a message."""

from __future__ import annotations

import json

import pytest

from tests.scripted_server import ScriptedServer
from tests.unit.cli.answers import an_explained_channel, an_explanation
from tests.unit.cli.conftest import Cli

_PATH = "/v1/messages/explain"


def test_a_message_is_asked_about_as_it_would_be_sent(cli: Cli, server: ScriptedServer) -> None:
    server.answer("POST", _PATH, an_explanation(an_explained_channel()))
    arguments = ("explain", "sales", "I need help", "--priority", "1", "--tag", "vip")
    ended = cli(*arguments, "--data", '{"plan": "pro"}')
    assert server.asked[0].json() == {
        "topic": "sales",
        "description": "I need help",
        "priority": 1,
        "tags": ["vip"],
        "data": {"plan": "pro"},
    }
    assert (ended.code, ended.err) == (0, "")
    assert [" ".join(line.split()) for line in ended.out.splitlines()] == [
        "topic sales",
        "strategy all",
        "status queued",
        "due 2026-11-24 03:30:00",
        "",
        "channel team-slack",
        "would send yes",
        "due 2026-11-24 03:30:00",
        "plugin slack.Slack, revision 0a1b2c3d",
        "policy deadline 15 s; retries 10s, 1m; 16 at once",
        "It would send:",
        "text: I need help",
    ]
    assert json.loads(cli(*arguments, "--json").out) == server_answer()


def server_answer() -> object:
    return an_explanation(an_explained_channel())


def test_why_a_channel_gets_nothing_is_said(cli: Cli, server: ScriptedServer) -> None:
    left_out = an_explained_channel(
        would_send=False,
        why_not="The message is not one of those.",
        condition={"priority": 1},
        condition_text="Takes messages whose priority is 1.",
        matched=False,
        due_at=None,
        content=None,
    )
    server.answer("POST", _PATH, an_explanation(left_out, status="no_route", enabled=False))
    ended = cli("explain", "sales", "I need help")
    for shown in ("Takes messages whose priority is 1.", "The message is not one of those.", "no"):
        assert shown in ended.out
    assert ended.err == "Nobody would get it.\n"


def test_what_cannot_be_shown_or_is_not_rendered_is_said(cli: Cli, server: ScriptedServer) -> None:
    plugin = an_explained_channel()["plugin"] | {"error": "It is broken.", "revision": None}
    refused = {"rendered": False, "parts": None, "error": "The plugin raised ValueError: oh"}
    plain = {"rendered": False, "parts": {"title": None, "n": {"a": 1}}, "error": None}
    answer = an_explanation(
        an_explained_channel(plugin=plugin, content=refused),
        an_explained_channel(content=plain, waits_for="The channel is paused."),
    )
    server.answer("POST", _PATH, answer)
    out = cli("explain", "sales", "I need help").out
    for shown in (
        "cannot be shown: The plugin raised ValueError: oh",
        "It is broken.",
        "The channel is paused.",
        'n: {"a": 1}',
    ):
        assert shown in out
    assert "title:" not in out


@pytest.mark.parametrize(
    ("arguments", "named"), [(["sales"], "TEXT"), (["sales", "x", "--key", "k"], "--key")]
)
def test_a_mistake_in_the_command_is_named(
    cli: Cli, server: ScriptedServer, arguments: list[str], named: str
) -> None:
    ended = cli("explain", *arguments)
    assert ended.code == 2
    assert named in ended.complaint
    assert server.asked == []
