"""The commands for topics and channels."""

from __future__ import annotations

import json

import pytest

from tests.scripted_server import ScriptedServer
from tests.unit.cli.answers import (
    BEGIN,
    DELIVERY_ID,
    a_channel,
    a_delivery,
    a_story,
    a_topic,
    an_attempt,
)
from tests.unit.cli.conftest import Cli

PAUSED = {
    "state": "paused",
    "state_reason": "failures",
    "state_detail": "20 attempts in a row have failed; the last: It broke.",
    "state_changed_at": BEGIN,
    "probe_at": BEGIN,
}


@pytest.mark.parametrize("bare", [["topics"], ["topics", "list"]])
def test_topics_are_listed_with_their_channels(
    cli: Cli, server: ScriptedServer, bare: list[str]
) -> None:
    listed = {"data": [a_topic(), a_topic(name="x", channels=[], enabled=False)]}
    server.answer("GET", "/v1/topics", listed)
    assert [line.split() for line in cli(*bare).out.splitlines()] == [
        ["TOPIC", "CHANNELS", "ENABLED"],
        ["sales", "team-slack,", "backoffice-mail", "yes"],
        ["x", "no"],
    ]
    assert json.loads(cli(*bare, "--json").out) == listed


@pytest.mark.parametrize("group", ["topics", "channels", "plugins"])
def test_an_empty_list_says_so_on_standard_error(
    cli: Cli, server: ScriptedServer, group: str
) -> None:
    server.answer("GET", f"/v1/{group}", {"data": [], "broken": []})
    ended = cli(group)
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith(f"No {group}")


@pytest.mark.parametrize("group", ["topics", "channels", "plugins"])
def test_json_before_a_sub_command_is_refused_instead_of_forgotten(
    cli: Cli, server: ScriptedServer, group: str
) -> None:
    ended = cli(group, "--json", "show", "x")
    assert ended.code == 2
    assert "after the sub-command" in ended.complaint
    assert server.asked == []


def test_a_topic_is_shown(cli: Cli, server: ScriptedServer) -> None:
    server.answer("GET", "/v1/topics/sales", a_topic())
    out = cli("topics", "show", "sales").out
    assert "team-slack, backoffice-mail" in out
    assert json.loads(cli("topics", "show", "sales", "--json").out) == a_topic()


def test_a_topic_is_created(cli: Cli, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/topics", a_topic(), status=201)
    ended = cli("topics", "create", "sales", "--channel", "a", "--channel", "b", "--disabled")
    assert ended.out == "Topic sales created.\n"
    assert server.asked[0].json() == {"name": "sales", "channels": ["a", "b"], "enabled": False}
    assert json.loads(cli("topics", "create", "sales", "--json").out) == a_topic()


def test_of_a_topic_only_what_is_given_is_changed(cli: Cli, server: ScriptedServer) -> None:
    server.answer("PATCH", "/v1/topics/sales", a_topic())
    assert cli("topics", "update", "sales", "--enabled").out == "Topic sales changed.\n"
    cli("topics", "update", "sales", "--channel", "a")
    cli("topics", "update", "sales", "--redact")
    cli("topics", "update", "sales", "--keep")
    assert [one.json() for one in server.asked] == [
        {"enabled": True},
        {"channels": ["a"]},
        {"redact": True},
        {"redact": False},
    ]


@pytest.mark.parametrize("group", ["topics", "channels"])
def test_a_change_of_nothing_is_refused(cli: Cli, server: ScriptedServer, group: str) -> None:
    ended = cli(group, "update", "sales")
    assert ended.code == 2
    assert "Say what to change" in ended.complaint
    assert server.asked == []


def test_a_channel_of_a_topic_is_given_a_condition(cli: Cli, server: ScriptedServer) -> None:
    steps = [{"channel": "a", "condition": {"priority": 1}}, {"channel": "b"}]
    server.answer("POST", "/v1/topics", a_topic(channels=steps), status=201)
    server.answer("PATCH", "/v1/topics/sales", a_topic(channels=steps))
    server.answer("GET", "/v1/topics/sales", a_topic(channels=steps))
    options = ("--channel", "a", "--channel", "b", "--condition", 'a={"priority": 1}')
    cli("topics", "create", "sales", *options)
    cli("topics", "update", "sales", *options)
    sent = [{"channel": "a", "condition": {"priority": 1}}, "b"]
    assert [one.json()["channels"] for one in server.asked] == [sent, sent]
    out = cli("topics", "show", "sales").out
    assert '{"priority": 1}' in out
    assert "Takes messages whose priority is 1." in out


@pytest.mark.parametrize(
    ("condition", "said"),
    [("a", "no JSON"), ("a={", "no JSON"), ('b={"priority": 1}', "none of the channels")],
)
def test_a_condition_that_cannot_be_read_is_refused(
    cli: Cli, server: ScriptedServer, condition: str, said: str
) -> None:
    ended = cli("topics", "create", "sales", "--channel", "a", "--condition", condition)
    assert ended.code == 2
    assert said in ended.complaint
    assert server.asked == []


def test_a_topic_is_deleted(cli: Cli, server: ScriptedServer) -> None:
    server.answer("DELETE", "/v1/topics/sales", None, status=204)
    ended = cli("topics", "delete", "sales")
    assert (ended.code, ended.out) == (0, "Topic sales deleted.\n")


@pytest.mark.parametrize("bare", [["channels"], ["channels", "list"]])
def test_channels_are_listed_with_their_plugins(
    cli: Cli, server: ScriptedServer, bare: list[str]
) -> None:
    listed = {
        "data": [a_channel(), a_channel(name="x", enabled=False, timeout_seconds=2.5, **PAUSED)]
    }
    server.answer("GET", "/v1/channels", listed)
    assert [line.split() for line in cli(*bare).out.splitlines()] == [
        ["CHANNEL", "PLUGIN", "ENABLED", "STATE", "DRILL", "TIMEOUT", "RETRIES"],
        ["team-slack", "Slack", "yes", "active", "15", "s", "10s", "1m"],
        ["x", "Slack", "no", "paused:", "failures", "2.5", "s", "10s", "1m"],
    ]
    assert json.loads(cli(*bare, "--json").out) == listed


def test_a_channel_is_shown_with_its_settings(cli: Cli, server: ScriptedServer) -> None:
    settings = {"password": "********", "port": 587, "to": ["ana@example.org"]}
    channel = a_channel(settings=settings, retry_schedule=[])
    server.answer("GET", "/v1/channels/mail", channel)
    lines = [line.split(maxsplit=1) for line in cli("channels", "show", "mail").out.splitlines()]
    assert ["retries", "none"] in lines
    assert lines[-3:] == [
        ["settings.password", "********"],
        ["settings.port", "587"],
        ["settings.to", '["ana@example.org"]'],
    ]
    assert json.loads(cli("channels", "show", "mail", "--json").out) == channel


def test_a_channel_is_shown_with_its_state_and_its_policies(
    cli: Cli, server: ScriptedServer
) -> None:
    policies = {"rate": "10/s", "burst": None, "breaker_failures": 0}
    server.answer("GET", "/v1/channels/mail", a_channel(**PAUSED | {"rate": "10/s", "burst": 5}))
    server.answer("GET", "/v1/channels/hook", a_channel(**policies))
    fields = [line.split(maxsplit=1) for line in cli("channels", "show", "mail").out.splitlines()]
    assert ["state", "paused: failures"] in fields
    assert ["because", PAUSED["state_detail"]] in fields
    assert ["rate", "10/s, 5 at once"] in fields
    assert ["breaker", "20 failures in a row, tried again after 30s"] in fields
    assert {"since", "next"} <= {one[0] for one in fields}
    fields = [line.split(maxsplit=1) for line in cli("channels", "show", "hook").out.splitlines()]
    assert ["state", "active"] in fields
    assert ["rate", "10/s, 1 at once"] in fields
    assert ["breaker", "never"] in fields
    assert not {"since", "next", "because"} & {one[0] for one in fields}


def test_a_channel_is_paused_and_resumed(cli: Cli, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/channels/mail/pause", a_channel(name="mail"))
    server.answer("POST", "/v1/channels/mail/resume", a_channel(name="mail"))
    assert cli("channels", "pause", "mail").out == "Channel mail paused.\n"
    assert cli("channels", "pause", "mail", "--reason", "It moves.").code == 0
    assert cli("channels", "resume", "mail").out == "Channel mail resumed.\n"
    assert json.loads(cli("channels", "resume", "mail", "--json").out)["name"] == "mail"
    assert [one.json() for one in server.asked] == [None, {"reason": "It moves."}, None, None]


def test_the_policies_of_a_channel_are_given_and_its_rate_taken_away(
    cli: Cli, server: ScriptedServer
) -> None:
    server.answer("PATCH", "/v1/channels/mail", a_channel(name="mail"))
    update = ("channels", "update", "mail")
    policies = ("--rate", "30/m", "--burst", "5", "--breaker-failures", "0")
    assert cli(*update, *policies, "--breaker-wait", "1m", "--verify-every", "1h").code == 0
    assert cli(*update, "--rate", "none", "--verify-every", "none").code == 0
    assert [one.json() for one in server.asked] == [
        {"rate": "30/m", "burst": 5, "breaker_failures": 0, "breaker_wait": "1m"}
        | {"verify_every": "1h"},
        {"rate": None, "verify_every": None},
    ]


def test_a_channel_is_created(cli: Cli, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/channels", a_channel(), status=201)
    ended = cli(
        *("channels", "create", "team-slack", "--plugin", "Slack"),
        *("--set", "webhook_url=https://hooks.example/x?a=b", "--set", "port=587"),
        *("--timeout", "10", "--retry", "10s", "--retry", "1m", "--concurrency", "4"),
        *("--on-unknown", "hold", "--disabled"),
    )
    assert (ended.code, ended.out, ended.err) == (0, "Channel team-slack created.\n", "")
    assert server.asked[0].json() == {
        "name": "team-slack",
        "plugin": "Slack",
        "settings": {"webhook_url": "https://hooks.example/x?a=b", "port": "587"},
        "timeout_seconds": 10.0,
        "retry_schedule": ["10s", "1m"],
        "concurrency": 4,
        "on_unknown": "hold",
        "enabled": False,
    }


def test_warnings_go_to_standard_error_also_with_json(cli: Cli, server: ScriptedServer) -> None:
    channel = a_channel(warnings=["settings.url: it must come from the environment."])
    server.answer("POST", "/v1/channels", channel, status=201)
    ended = cli("channels", "create", "hook", "--plugin", "Webhook", "--json")
    assert json.loads(ended.out) == channel
    assert ended.err == "Warning: settings.url: it must come from the environment.\n"


def test_of_a_channel_only_what_is_given_is_changed(cli: Cli, server: ScriptedServer) -> None:
    server.answer("PATCH", "/v1/channels/mail", a_channel(name="mail"))
    update = ("channels", "update", "mail")
    assert cli(*update, "--set", "port=465", "--unset", "username").code == 0
    assert cli(*update, "--retry", "none").code == 0
    assert cli(*update, "--plugin", "email.Email", "--enabled").out == "Channel mail changed.\n"
    assert [one.json() for one in server.asked] == [
        {"settings": {"port": "465", "username": None}},
        {"retry_schedule": []},
        {"plugin": "email.Email", "enabled": True},
    ]


def test_a_channel_is_deleted_by_force_only_when_told(cli: Cli, server: ScriptedServer) -> None:
    server.answer("DELETE", "/v1/channels/mail", None, status=204)
    assert cli("channels", "delete", "mail").out == "Channel mail deleted.\n"
    assert cli("channels", "delete", "mail", "--force").code == 0
    assert [one.target for one in server.asked] == [
        "/v1/channels/mail",
        "/v1/channels/mail?force=true",
    ]


def test_a_test_of_a_channel_shows_what_came_of_it(cli: Cli, server: ScriptedServer) -> None:
    error = "Slack answered 503 (Service Unavailable)."
    waits = a_delivery(
        an_attempt(outcome="temporary_error", error=error), status="pending", due_at=BEGIN
    )
    path = "/v1/channels/team-slack/test"
    server.answer("POST", path, a_story(a_delivery(an_attempt())), a_story(waits))
    assert cli("channels", "test", "team-slack").code == 0
    ended = cli("channels", "test", "team-slack")
    assert ended.code == 1
    assert ended.out.splitlines()[-1] == f"team-slack: {error}"
    ended = cli("channels", "test", "team-slack", "--json")
    assert ended.code == 1
    assert json.loads(ended.out)["deliveries"][0]["id"] == DELIVERY_ID
