"""Templates on the command line: as text, as a file, as JSON, and previewed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.scripted_server import ScriptedServer
from tests.unit.cli.answers import a_channel, a_topic, an_explained_channel, an_explanation
from tests.unit.cli.conftest import Cli

_EXPLAIN = "/v1/topics/sales/messages/explain"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that the commands run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("written", "template"),
    [
        ("{{ data.x }}", {"body": "{{ data.x }}", "format": "text"}),
        ("Order", {"body": "Order", "format": "text"}),
        ('{"title": "T", "format": "html"}', {"title": "T", "format": "html"}),
        ("@order.md", {"body": "**Order**", "format": "markdown"}),
        ("@order.html", {"body": "<b>Order</b>", "format": "html"}),
        ("@order.txt", {"body": "Order", "format": "text"}),
        ("@order.json", {"title": "From a file"}),
        ("None", None),
    ],
)
def test_a_template_is_text_a_file_or_json(
    cli: Cli,
    server: ScriptedServer,
    files: Path,
    written: str,
    template: Any,
) -> None:
    (files / "order.md").write_text("**Order**\n", encoding="utf-8")
    (files / "order.html").write_text("<b>Order</b>", encoding="utf-8")
    (files / "order.txt").write_text("Order", encoding="utf-8")
    (files / "order.json").write_text('{"title": "From a file"}', encoding="utf-8")
    server.answer("PATCH", "/v1/topics/sales", a_topic())
    server.answer("PATCH", "/v1/channels/mail", a_channel())
    server.answer("POST", "/v1/channels", a_channel(), status=201)
    cli("topics", "update", "sales", "--template", written)
    cli("channels", "update", "mail", "--template", written)
    cli("channels", "create", "mail", "--plugin", "Email", "--template", written)
    assert [one.json()["template"] for one in server.asked] == [template] * 3


@pytest.mark.parametrize(
    ("written", "accept"),
    [
        ("github", "github"),
        ("@monitor.json", {"title": "{{ body.x }}"}),
        ('{"title": "T"}', {"title": "T"}),
        ("none", None),
    ],
)
def test_a_mapping_is_a_sender_a_file_or_json(
    cli: Cli,
    server: ScriptedServer,
    files: Path,
    written: str,
    accept: Any,
) -> None:
    (files / "monitor.json").write_text('{"title": "{{ body.x }}"}', encoding="utf-8")
    server.answer("PATCH", "/v1/topics/sales", a_topic())
    server.answer("POST", "/v1/topics", a_topic(), status=201)
    cli("topics", "update", "sales", "--accept", written)
    cli("topics", "create", "sales", "--accept", written)
    assert [one.json()["accept"] for one in server.asked] == [accept] * 2


@pytest.mark.parametrize("option", ["--template", "--accept"])
def test_a_file_that_cannot_be_read_is_named(
    cli: Cli, server: ScriptedServer, tmp_path: Path, option: str
) -> None:
    (tmp_path / "binary.md").write_bytes(b"\xff")
    for name in ("none.md", "binary.md"):
        ended = cli("topics", "update", "sales", option, f"@{tmp_path / name}")
        assert ended.code == 2
        assert "cannot be read" in ended.complaint
    assert server.asked == []


def test_templates_are_shown(cli: Cli, server: ScriptedServer) -> None:
    words = {"body": "{{ data.x }}", "format": "markdown"}
    mapping = {"title": "{{ body.x }}", "tags": ["a"]}
    server.answer("GET", "/v1/topics/sales", a_topic(template=words, accept=mapping))
    lines = cli("topics", "show", "sales").out.splitlines()
    shown = dict(line.split(maxsplit=1) for line in lines if line.startswith(("templ", "accept")))
    assert shown == {
        "template.body": "{{ data.x }}",
        "template.format": "markdown",
        "accept.title": "{{ body.x }}",
        "accept.tags": '["a"]',
    }
    server.answer("GET", "/v1/topics/sales", a_topic(accept="github"))
    assert "github" in cli("topics", "show", "sales").out
    server.answer("GET", "/v1/channels/mail", a_channel(template=words))
    assert "template.body" in cli("channels", "show", "mail").out


def test_what_a_topic_makes_of_a_body_is_shown(
    cli: Cli, server: ScriptedServer, tmp_path: Path
) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"zen": "Keep it simple."}', encoding="utf-8")
    message = {
        "title": "GitHub: ping",
        "description": "**ana** ping",
        "format": "markdown",
        "priority": 3,
        "tags": ["github", "ping"],
        "reference": None,
        "idempotency_key": "72d3",
        "metadata": {"accept_errors": ["title: line 1: no."]},
    }
    answer = an_explanation(an_explained_channel(), message=message)
    server.answer("POST", _EXPLAIN, answer)
    ended = cli("topics", "preview", "sales", str(body), "--template", "github")
    assert server.asked[0].json() == {"zen": "Keep it simple."}
    assert server.asked[0].target == f"{_EXPLAIN}?template=github"
    fields = [line.split(maxsplit=1) for line in ended.out.splitlines() if line]
    assert ["text", "**ana** ping"] in fields
    assert ["tags", "github, ping"] in fields
    assert ["key", "72d3"] in fields
    assert ["failed", "title: line 1: no."] in fields
    assert "team-slack" in ended.out
    assert json.loads(cli("topics", "preview", "sales", str(body), "--json").out) == answer
    assert server.asked[1].target == _EXPLAIN
    piped = cli("topics", "preview", "sales", "-", "--json", stdin=b'{"a": 1}')
    assert piped.code == 0
    assert server.asked[2].json() == {"a": 1}


@pytest.mark.parametrize("content", [b"{", b"\xff", None])
def test_a_body_that_is_no_json_is_refused(
    cli: Cli, server: ScriptedServer, tmp_path: Path, content: bytes | None
) -> None:
    body = tmp_path / "body.json"
    if content is not None:
        body.write_bytes(content)
    ended = cli("topics", "preview", "sales", str(body))
    assert ended.code == 2
    assert "cannot be read as JSON" in ended.complaint
    assert server.asked == []
