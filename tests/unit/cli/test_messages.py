"""The commands that act on messages: send, show, resend, cancel, release."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from almenara.testing import Answer, Received
from tests.scripted_server import ScriptedServer
from tests.unit.cli.answers import (
    BEGIN,
    DELIVERY_ID,
    MESSAGE_ID,
    RESENT_ID,
    a_delivery,
    a_story,
    accepted,
    an_attempt,
    an_entry,
)
from tests.unit.cli.conftest import Cli

_STORY = f"/v1/messages/{MESSAGE_ID}"


@pytest.fixture
def accepting(server: ScriptedServer) -> ScriptedServer:
    """A server that accepts every message."""
    server.answer("POST", "/v1/messages", accepted(), status=202)
    return server


def test_files_are_handed_in_with_a_message(
    cli: Cli, accepting: ScriptedServer, tmp_path: Path
) -> None:
    file = tmp_path / "größe.bin"
    file.write_bytes(b"\x00\xff")
    assert cli("send", "sales", "x", "--attach", str(file), "--attach", str(file)).code == 0
    sent = {"name": "größe.bin", "content": "AP8="}
    assert accepting.asked[0].json()["attachments"] == [sent, sent]


def test_what_a_message_brought_is_shown(cli: Cli, server: ScriptedServer) -> None:
    files = [{"name": name, "media_type": "text/csv", "size": 8} for name in ("a.csv", "b.csv")]
    server.answer("GET", _STORY, a_story(a_delivery(), attachments=files))
    assert "a.csv, b.csv" in cli("show", MESSAGE_ID).out


def test_a_file_that_cannot_be_read_is_named(
    cli: Cli, accepting: ScriptedServer, tmp_path: Path
) -> None:
    ended = cli("send", "sales", "x", "--attach", str(tmp_path / "none.pdf"))
    assert ended.code == 2
    assert "cannot be read: No such file or directory." in ended.complaint
    assert accepting.asked == []


def test_a_message_is_handed_in_as_it_was_written(cli: Cli, accepting: ScriptedServer) -> None:
    ended = cli("send", "sales", "I need help")
    assert accepting.asked[0].json() == {"topic": "sales", "description": "I need help"}
    assert ended.code == 0
    assert ended.out == f"Accepted {MESSAGE_ID}; sending for team-slack.\n"


def test_every_option_reaches_the_message(cli: Cli, accepting: ScriptedServer) -> None:
    now = datetime.now(UTC)
    cli(
        *("send", "sales", "text", "--title", "New lead", "--channel", "mail"),
        *("--format", "markdown", "--priority", "1", "--tag", "a", "--tag", "b"),
        *("--data", '{"plan": "pro"}', "--to", "ana@example.org", "--reference", "order-7"),
        *("--send-at", "1h30m"),
    )
    body = accepting.asked[0].json()
    send_at = datetime.fromisoformat(body.pop("send_at"))
    assert timedelta(minutes=89) < send_at - now < timedelta(minutes=91)
    assert body == {
        "topic": "sales",
        "channel": "mail",
        "description": "text",
        "title": "New lead",
        "format": "markdown",
        "priority": 1,
        "tags": ["a", "b"],
        "data": {"plan": "pro"},
        "to": ["ana@example.org"],
        "reference": "order-7",
    }


def test_a_dash_reads_the_text_from_standard_input(cli: Cli, accepting: ScriptedServer) -> None:
    assert cli("send", "ops", "-", stdin="Añil\n\n".encode()).code == 0
    assert accepting.asked[0].json()["description"] == "Añil\n"


def test_standard_input_that_is_not_utf8_is_refused(cli: Cli, accepting: ScriptedServer) -> None:
    ended = cli("send", "ops", "-", stdin=b"ab\xff")
    assert ended.code == 2
    assert "not UTF-8 at byte 2" in ended.complaint
    assert accepting.asked == []


def test_with_a_channel_the_topic_may_be_left_out(cli: Cli, accepting: ScriptedServer) -> None:
    assert cli("send", "the text", "--channel", "mail").code == 0
    assert accepting.asked[0].json() == {"channel": "mail", "description": "the text"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["sales"], "TEXT"),
        (["sales", "x", "--data", "{"], "--data"),
        (["sales", "x", "--data", "[1]"], "--data"),
        (["sales", "x", "--priority", "6"], "--priority"),
        (["sales", "x", "--format", "rtf"], "--format"),
        (["sales", "x", "--send-at", "soon"], "--send-at"),
        (["sales", "x", "--nonsense"], "--nonsense"),
    ],
)
def test_a_mistake_in_the_command_is_named_and_nothing_is_sent(
    cli: Cli, accepting: ScriptedServer, arguments: list[str], named: str
) -> None:
    ended = cli("send", *arguments)
    assert ended.code == 2
    assert named in ended.complaint
    assert accepting.asked == []


def test_json_is_the_servers_answer_as_it_came(cli: Cli, server: ScriptedServer) -> None:
    came = json.dumps(accepted(), separators=(" , ", " : "))
    server.answer("POST", "/v1/messages", Answer(202, came))
    ended = cli("send", "sales", "x", "--json")
    assert ended.out == came + "\n"


def test_a_message_that_nobody_gets_is_said_to_be_one(cli: Cli, server: ScriptedServer) -> None:
    stored = accepted(status="no_route", deliveries=[])
    server.answer("POST", "/v1/messages", stored, status=202)
    ended = cli("send", "sales", "x")
    assert (ended.code, ended.out) == (0, f"Stored {MESSAGE_ID}.\n")
    assert ended.err == "Nobody gets it: its topic has no enabled channel that takes it.\n"


def test_a_message_that_was_handed_in_before_is_said_to_be_one(
    cli: Cli, server: ScriptedServer
) -> None:
    server.answer("POST", "/v1/messages", accepted(duplicate=True), status=202)
    assert "which was handed in before" in cli("send", "sales", "x").out


def test_waiting_ends_when_everything_is_sent(cli: Cli, accepting: ScriptedServer) -> None:
    sent = a_delivery(an_attempt(reference="slack-1", detail="taken"))
    accepting.answer(
        "GET",
        _STORY,
        a_story(a_delivery(status="sending"), status="sending"),
        a_story(sent, a_delivery(status="pending", channel="mail"), status="sending"),
        a_story(sent, a_delivery(an_attempt(), channel="mail")),
    )
    ended = cli("send", "sales", "x", "--wait")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        f"{MESSAGE_ID}: sent",
        "CHANNEL     STATUS  ATTEMPTS  ID                                    REMARKS",
        f"team-slack  sent    1         {DELIVERY_ID}",
        f"mail        sent    1         {DELIVERY_ID}",
        "team-slack: taken; reference slack-1",
    ]
    assert len(accepting.asked) == 4


@pytest.mark.parametrize("status", ["failed", "held", "cancelled"])
def test_waiting_ends_with_1_when_something_was_not_sent(
    cli: Cli, accepting: ScriptedServer, status: str
) -> None:
    error = "Slack answered 404 (Not Found): check the address."
    lost = a_delivery(
        an_attempt(outcome="permanent_error", error=error), status=status, reason="permanent"
    )
    accepting.answer("GET", _STORY, a_story(a_delivery(an_attempt()), lost, status="partial"))
    ended = cli("send", "sales", "x", "--wait")
    assert ended.code == 1
    assert f"team-slack: {error}" in ended.out
    assert cli("send", "sales", "x", "--wait", "--json").code == 1


def test_waiting_for_a_message_without_a_route_ends_with_1(
    cli: Cli, accepting: ScriptedServer
) -> None:
    accepting.answer("GET", _STORY, a_story(status="no_route"))
    ended = cli("send", "sales", "x", "--wait")
    assert ended.code == 1
    assert "no enabled channel" in ended.err


def test_waiting_with_json_writes_the_story_alone(cli: Cli, accepting: ScriptedServer) -> None:
    story = a_story(a_delivery(an_attempt()))
    accepting.answer("GET", _STORY, story)
    ended = cli("send", "sales", "x", "--wait", "--json")
    assert (ended.code, json.loads(ended.out)) == (0, story)


def test_a_message_is_shown_as_a_time_line(cli: Cli, server: ScriptedServer) -> None:
    later = "2026-11-23T22:00:10Z"
    again = an_attempt(number=2, reference="slack-1", started_at=later, duration_ms=1500)
    first = a_delivery(an_attempt(), again, attempt_number=2, reference="slack-1")
    second = a_delivery(
        an_attempt(),
        id=RESENT_ID,
        channel="mail",
        resend_of="019aa2f0-0000-7000-8000-000000000000",
    )
    waits = a_delivery(channel="pager", status="pending", due_at="2026-11-24T22:00:00Z")
    timeline = [
        an_entry(at=later, event="attempt_failed", channel="team-slack", text="Attempt 1 failed."),
        an_entry(at="2026-11-25T22:00:00.5Z", event="sent", channel="mail", text="Sent."),
    ]
    story = a_story(first, second, waits, timeline=timeline, status="sending")
    server.answer("GET", _STORY, story)
    out = cli("show", MESSAGE_ID).out.splitlines()
    assert [line.split(maxsplit=1) for line in out[:3]] == [
        ["message", MESSAGE_ID],
        ["status", "sending"],
        ["topic", "sales"],
    ]
    assert "I need help" in out
    assert f"mail        sent     1         {RESENT_ID}  sent again" in out
    assert any(line.startswith("pager") and "due " in line for line in out)
    begin = next(i for i, line in enumerate(out) if line.startswith("TIME"))
    assert [" ".join(one.split()) for one in out[begin + 1 :]] == [
        "03:30:00.000 accepted Accepted on the topic sales, for team-slack.",
        "03:30:10.000 team-slack attempt failed Attempt 1 failed.",
        # The date stands where it is another than that of the beginning.
        "11-26 03:30:00.500 mail sent Sent.",
    ]


def test_everything_that_a_message_has_is_shown(cli: Cli, server: ScriptedServer) -> None:
    changes: dict[str, Any] = {
        "title": "New lead",
        "format": "markdown",
        "priority": 1,
        "tags": ["a", "b"],
        "to": ["ana@example.org"],
        "reference": "order-7",
        "data": {"plan": "añil"},
        "metadata": {"k": 1},
        "send_at": "2026-11-24T22:00:00Z",
        "description": "first\n\x1b[31msecond",
    }
    server.answer("GET", _STORY, a_story(a_delivery(status="pending"), **changes))
    out = cli("show", MESSAGE_ID).out
    for shown in (
        *("New lead", "markdown", "a, b", "ana@example.org", "order-7", '{"plan": "añil"}'),
        *('{"k": 1}', "send at", "first\n\\x1b[31msecond\n"),
    ):
        assert shown in out


def test_a_redacted_message_says_when_and_why_its_text_is_gone(
    cli: Cli, server: ScriptedServer
) -> None:
    server.answer("GET", _STORY, a_story(a_delivery(), description="", redacted_at=BEGIN))
    out = cli("show", MESSAGE_ID).out
    assert "redacted" in out
    assert "\nIts texts were dropped when it was finished: its topic asks for it.\n" in out


def test_show_writes_the_servers_json(cli: Cli, server: ScriptedServer) -> None:
    server.answer("GET", _STORY, a_story())
    assert json.loads(cli("show", MESSAGE_ID, "--json").out) == a_story()


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        (["resend", MESSAGE_ID], f"{_STORY}/resend"),
        (["resend", MESSAGE_ID, "--sent-too"], f"{_STORY}/resend?sent_too=true"),
        (["cancel", MESSAGE_ID], f"{_STORY}/cancel"),
    ],
)
def test_a_message_is_acted_on_and_what_became_of_it_is_shown(
    cli: Cli, server: ScriptedServer, arguments: list[str], target: str
) -> None:
    server.answer("POST", target.partition("?")[0], a_story(a_delivery()))
    ended = cli(*arguments)
    assert (ended.code, server.asked[0].target) == (0, target)
    assert DELIVERY_ID in ended.out
    assert json.loads(cli(*arguments, "--json").out) == a_story(a_delivery())


@pytest.mark.parametrize(
    ("arguments", "verb"),
    [
        (["resend", DELIVERY_ID, "--delivery"], "resend"),
        (["cancel", DELIVERY_ID, "--delivery"], "cancel"),
        (["release", DELIVERY_ID], "release"),
    ],
)
def test_one_delivery_is_acted_on(
    cli: Cli, server: ScriptedServer, arguments: list[str], verb: str
) -> None:
    server.answer("POST", f"/v1/deliveries/{DELIVERY_ID}/{verb}", a_delivery(status="cancelled"))
    ended = cli(*arguments)
    assert ended.code == 0
    assert "cancelled" in ended.out


def test_sent_too_is_refused_for_a_delivery(cli: Cli, server: ScriptedServer) -> None:
    ended = cli("resend", DELIVERY_ID, "--delivery", "--sent-too")
    assert ended.code == 2
    assert "--sent-too" in ended.err
    assert server.asked == []


def test_with_a_time_to_retry_a_message_is_tried_again_and_stored_once(
    cli: Cli, server: ScriptedServer
) -> None:
    def hang_up(_: Received) -> Answer:
        raise ConnectionError

    later = Answer(503, {"detail": "Later."}, {"Retry-After": "0"})
    server.answer("POST", "/v1/messages", hang_up, later, accepted(duplicate=True), status=202)
    ended = cli("send", "sales", "text", "--retry", "60")
    assert (ended.code, ended.err) == (0, "")
    assert "was handed in before" in ended.out
    keys = {one.headers["Idempotency-Key"] for one in server.asked}
    assert (len(server.asked), len(keys)) == (3, 1)


def test_without_one_it_is_tried_once(cli: Cli, server: ScriptedServer) -> None:
    server.refuse("POST", "/v1/messages", 503, "Later.")
    assert cli("send", "sales", "text", "--key", "k").code == 75
    assert len(server.asked) == 1


def test_ctrl_c_ends_waiting_with_its_own_code(cli: Cli, server: ScriptedServer) -> None:
    waiting = a_story(a_delivery(status="pending"), status="queued")

    def press_ctrl_c(_: Received) -> Answer:
        os.kill(os.getpid(), signal.SIGINT)
        return Answer(200, waiting)

    server.answer("POST", "/v1/messages", accepted(), status=202)
    server.answer("GET", _STORY, press_ctrl_c)
    assert cli("send", "sales", "text", "--wait").code == 130
