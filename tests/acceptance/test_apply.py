"""Channels and topics as a file: applied, compared, pruned, exported and applied again."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from almenara.cli import run
from almenara.cli.declaration import schema
from tests.pages import blocks, read
from tests.serving import Client, make_settings, served
from tests.unit.cli.conftest import Ended

FILE = """\
channels:
  team-slack:
    plugin: Slack
    settings:
      webhook_url: https://hooks.slack.com/services/hush
  alerts:
    plugin: Webhook
    settings: {url: "env:ALERTS_URL"}
    timeout_seconds: 5
    rate: 10/s
topics:
  Sales:
    channel: team-slack
  ops:
    strategy: failover
    channels:
      - alerts
      - channel: team-slack
        condition: {priority: 1}
"""
Cli = Callable[..., Awaitable[Ended]]


class Terminal(io.StringIO):
    """What somebody types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with served(make_settings(tmp_path)) as one:
        yield one


@pytest.fixture
def cli(client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process, beside the server."""
    monkeypatch.setenv("ALMENARA_URL", client.url)

    async def command(*arguments: str, stdin: str = "", terminal: bool = False) -> Ended:
        monkeypatch.setattr(sys, "stdin", Terminal(stdin) if terminal else io.StringIO(stdin))
        capsys.readouterr()
        code = await asyncio.to_thread(run, arguments)
        return Ended(code, *capsys.readouterr())

    return command


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "almenara.yaml"
    path.write_text(FILE, encoding="utf-8")
    return path


async def names(client: Client, kind: str) -> list[str]:
    return [one["name"] for one in (await client.get(f"/v1/{kind}")).body["data"]]


async def test_a_file_is_shown_applied_and_then_nothing_is_left_to_change(
    client: Client, cli: Cli, file: Path
) -> None:
    shown = await cli("apply", str(file), "--dry-run")
    assert shown.out.splitlines() == [
        "+ channel team-slack",
        "+ channel alerts",
        "+ topic sales",
        "+ topic ops",
        "4 to create.",
    ]
    assert await names(client, "topics") == ["hello"]
    applied = await cli("apply", str(file), "--yes")
    assert (applied.code, applied.out.splitlines()[-1]) == (0, "Topic ops created.")
    assert await names(client, "channels") == ["alerts", "log", "team-slack"]
    ops = (await client.get("/v1/topics/ops")).body
    assert ops["channels"] == [
        {"channel": "alerts"},
        {"channel": "team-slack", "condition": {"priority": 1}},
    ]
    # A secret in clear may be another one; what it refers to shows that it is the same.
    again = await cli("apply", str(file), "--dry-run")
    assert again.out.splitlines() == [
        "~ channel team-slack",
        "    settings.webhook_url: '********' -> (a secret)",
        "1 to change.",
    ]
    assert "hush" not in shown.out + applied.out + applied.err + again.out
    file.write_text(FILE.replace("https://hooks.slack.com/services/hush", '"********"'))
    assert (await cli("apply", str(file), "--yes")).out == "Nothing to change.\n"


async def test_what_is_changed_is_shown_value_by_value(
    client: Client, cli: Cli, file: Path
) -> None:
    await cli("apply", str(file), "--yes")
    changed = FILE.replace("timeout_seconds: 5", "timeout_seconds: 7.5").replace("10/s", "null")
    changed = changed.replace("https://hooks.slack.com/services/hush", "env:SLACK_HOOK")
    url = 'url: "env:ALERTS_URL"'
    changed = changed.replace(url, "url: https://x.example/hush, headers: {A: hush}")
    file.write_text(changed.replace("      - alerts\n", ""))
    shown = await cli("apply", str(file), "--dry-run", "--json")
    found = {
        one["name"]: {d["place"]: (d["before"], d["after"]) for d in one["differences"]}
        for one in json.loads(shown.out)["changes"]
    }
    assert found == {
        "team-slack": {"settings.webhook_url": ("'********'", "'env:SLACK_HOOK'")},
        "alerts": {
            "settings.url": ("'env:ALERTS_URL'", "(a secret)"),
            "settings.headers": ("(not set)", "(a secret)"),
            "timeout_seconds": ("5.0", "7.5"),
            "rate": ("'10/s'", "None"),
        },
        "ops": {"channels": (found["ops"]["channels"][0], found["ops"]["channels"][1])},
    }
    assert (await cli("apply", str(file), "--yes", "--json")).code == 0
    assert (await client.get("/v1/channels/alerts")).body["timeout_seconds"] == 7.5
    assert "hush" not in shown.out


async def test_what_the_file_does_not_name_is_deleted_only_when_asked(
    client: Client, cli: Cli, file: Path
) -> None:
    await cli("apply", str(file), "--yes")
    assert "hello" in await names(client, "topics")
    file.write_text("topics:\nchannels:\n  log: {plugin: Log}\n")
    assert (await cli("apply", str(file), "--yes")).out == "Nothing to change.\n"
    pruned = await cli("apply", str(file), "--yes", "--prune")
    assert pruned.code == 0, pruned
    assert pruned.out.splitlines()[:3] == ["- topic hello", "- topic ops", "- topic sales"]
    assert await names(client, "topics") == []
    assert await names(client, "channels") == ["log"]


async def test_what_is_exported_can_be_applied_and_tells_no_secret(
    client: Client, cli: Cli, file: Path
) -> None:
    await cli("apply", str(file), "--yes")
    exported = await cli("export")
    assert "hush" not in exported.out
    read = yaml.safe_load(exported.out)
    assert read["channels"]["team-slack"] == {
        "plugin": "Slack",
        "settings": {"webhook_url": "********"},
    }
    assert read["channels"]["alerts"]["settings"] == {"url": "env:ALERTS_URL"}
    assert read["topics"] == {
        "hello": {"channels": ["log"]},
        "ops": {
            "strategy": "failover",
            "channels": ["alerts", {"channel": "team-slack", "condition": {"priority": 1}}],
        },
        "sales": {"channels": ["team-slack"]},
    }
    again = await cli("apply", "-", "--yes", "--prune", stdin=exported.out)
    assert (again.code, again.out) == (0, "Nothing to change.\n")
    # On another server the secret must be written anew.
    await client.call("DELETE", "/v1/channels/team-slack?force=true")
    refused = await cli("apply", "-", "--yes", stdin=exported.out)
    assert refused.code == 1
    assert "settings.webhook_url" in refused.err


async def test_templates_mappings_and_schedules_come_back_as_they_were_written(
    client: Client, cli: Cli, file: Path
) -> None:
    words = {"title": "Order {{ data.number }}", "body": "**{{ title }}**", "format": "markdown"}
    mapping = {"title": "{{ body.what }}", "tags": ["monitor"], "key": "{{ body.id }}"}
    body = {"name": "mail", "plugin": "Log", "template": words, "verify_every": "2h"}
    assert (await client.post("/v1/channels", body)).status == 201
    topics: list[dict[str, Any]] = [
        {"name": "orders", "channels": ["mail"], "template": {"body": "x"}, "accept": mapping},
        {"name": "push", "channels": ["mail"], "accept": "github"},
    ]
    for topic in topics:
        assert (await client.post("/v1/topics", topic)).status == 201
    before = (await client.get("/v1/topics")).body["data"]
    exported = await cli("export")
    file.write_text(exported.out, encoding="utf-8")
    again = await cli("apply", str(file), "--yes")
    assert (again.code, "Nothing to change" in again.out + again.err) == (0, True), again
    for name in ("orders", "push"):
        assert (await client.call("DELETE", f"/v1/topics/{name}")).status == 204
    assert (await client.call("DELETE", "/v1/channels/mail")).status == 204
    assert (await cli("apply", str(file), "--yes")).code == 0
    after = (await client.get("/v1/topics")).body["data"]
    moments = ("created_at", "updated_at")
    assert [{k: v for k, v in one.items() if k not in moments} for one in after] == [
        {k: v for k, v in one.items() if k not in moments} for one in before
    ]
    channel = (await client.get("/v1/channels/mail")).body
    assert (channel["template"], channel["verify_every"]) == (words, "2h")


async def test_the_first_change_that_is_refused_ends_it_and_says_so(
    client: Client, cli: Cli, file: Path
) -> None:
    file.write_text(FILE.replace("plugin: Webhook", "plugin: Webhooks"))
    ended = await cli("apply", str(file), "--yes")
    assert ended.code == 1
    assert "The channel alerts was not created; 1 of 4 changes were made before it" in ended.err
    assert "There is no plugin 'Webhooks'" in ended.err
    assert await names(client, "channels") == ["log", "team-slack"]
    assert await names(client, "topics") == ["hello"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("channels: [", "The file is no YAML:"),
        ("a: 1\na: 2", "'a' stands twice (line 2)"),
        ("- x", "the file: Input should be"),
        ("topics: {Sales: {}, sales: {}}", "topics: 'sales' stands twice"),
        ("kanäle: {}", "kanäle: Extra inputs are not permitted"),
        ("channels: {log: {}}", "channels.log.plugin: Field required"),
        ("channels: {'no name': {plugin: Log}}", "channels.no name: String should match"),
        ("channels: {1: {plugin: Log}}", "channels.1: Input should be a valid string"),
        ("channels: {log: {plugin: Log, retries: 3}}", "channels.log.retries: Extra inputs"),
        ("channels: {log: {plugin: Log, rate: 3}}", "channels.log.rate: Input should be"),
        ("channels: {log: {plugin: Log, rate: 3/x}}", "'3/x' is not a rate such as"),
        ("topics: {a: {channels: [nobody]}}", "topics.a: there is no channel 'nobody'"),
        ("topics: {a: {channel: log, channels: [log]}}", "Write channel or channels, not both."),
        ("topics: {a: {channels: [{channel: log, condition: {x: 1}}]}}", "condition"),
        ("x: !!python/object/apply:os.system [ls]", "The file is no YAML:"),
    ],
)
async def test_a_file_that_cannot_be_used_changes_nothing_and_names_the_place(
    client: Client, cli: Cli, file: Path, text: str, words: str
) -> None:
    file.write_text(text)
    ended = await cli("apply", str(file), "--yes")
    assert ended.code == 78, ended
    assert words in ended.complaint
    assert await names(client, "topics") == ["hello"]


async def test_a_file_that_is_not_there_and_nobody_to_ask(cli: Cli, file: Path) -> None:
    missing = await cli("apply", str(file.with_name("none.yaml")), "--yes")
    assert (missing.code, "No such file" in missing.err) == (78, True)
    file.write_bytes(b"\xff")
    assert "it is not UTF-8" in (await cli("apply", str(file), "--yes")).err
    assert (await cli("apply", str(file))).code == 2


@pytest.mark.parametrize(("said", "code"), [("y", 0), ("n", 1)])
async def test_a_person_is_asked(
    client: Client, cli: Cli, file: Path, said: str, code: int
) -> None:
    ended = await cli("apply", str(file), stdin=f"{said}\n", terminal=True)
    assert ended.code == code
    assert "Apply? [y/N]" in ended.err
    assert ("sales" in await names(client, "topics")) is (code == 0)


async def test_the_page_about_it_is_true(client: Client, cli: Cli, tmp_path: Path) -> None:
    page = read("docs/howto/keep-the-set-up-in-a-file.md")
    [written] = blocks(page, "yaml")
    file = tmp_path / "almenara.yaml"
    file.write_text(written.text, encoding="utf-8")
    commands = [one for block in blocks(page, "sh") for one in block.text.splitlines()]
    outs = []
    for command in commands:
        _, *arguments = command.replace("almenara.yaml", str(file)).split()
        ended = await cli(*arguments)
        assert ended.code == 0, ended
        outs.append(ended.out)
    assert [out.splitlines()[0] for out in outs] == [
        "+ channel team-slack",
        "+ channel team-slack",
        "# Channels and topics of an Almenara, for `almenara apply`.",
        "Nothing to change.",
    ]
    assert await names(client, "topics") == ["alarms", "hello", "sales"]


def test_the_schema_takes_what_the_command_takes(file: Path) -> None:
    validator = jsonschema_rs.validator_for(schema())
    for text in (FILE, "topics: {}", "{}"):
        assert validator.is_valid(yaml.safe_load(text))
    for text in ("kanäle: {}", "channels: {log: {}}", "topics: {a: {channels: 7}}"):
        assert not validator.is_valid(yaml.safe_load(text))
