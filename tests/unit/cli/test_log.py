"""The command that reads the log, and the eye that follows it."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from almenara.cli import following
from almenara.cli.client import Server
from almenara.errors import AlmenaraError
from almenara.testing import Answer, Received
from tests.scripted_server import ScriptedServer, problem
from tests.unit.cli.answers import BEGIN, MESSAGE_ID, a_message, page
from tests.unit.cli.conftest import Cli

_PATH = "/v1/messages"


def _query(server: ScriptedServer) -> dict[str, str]:
    query = parse_qs(server.asked[-1].target.partition("?")[2])
    return {name: values[0] for name, values in query.items()}


def _numbered(number: int, **changes: Any) -> dict[str, Any]:
    return a_message(id=f"019aa2f0-0000-7000-8000-{number:012d}", **changes)


def test_the_log_is_a_table_newest_first(cli: Cli, server: ScriptedServer) -> None:
    lost = a_message(status="failed", topic=None, title="Disk", description="it is\n\x1bfull")
    server.answer("GET", _PATH, page(a_message(), lost))
    ended = cli("log")
    head, first, second = ended.out.splitlines()
    assert head.split() == ["TIME", "STATUS", "TOPIC", "MESSAGE", "TEXT"]
    assert first.split()[2:] == ["sent", "sales", MESSAGE_ID, "I", "need", "help"]
    assert second.split()[2:] == ["failed", MESSAGE_ID, "Disk:", "it", "is", "\\x1bfull"]
    assert (ended.code, ended.err) == (0, "")
    assert _query(server) == {"limit": "20"}


def test_a_redacted_message_is_said_to_be_one(cli: Cli, server: ScriptedServer) -> None:
    server.answer("GET", _PATH, page(a_message(description="", redacted_at=BEGIN)))
    assert cli("log").out.splitlines()[1].split()[-1] == "(redacted)"


def test_a_narrow_terminal_shows_the_text_below_the_id_and_keeps_the_id_whole(
    cli: Cli, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    server.answer("GET", _PATH, page(a_message(topic="t" * 64, description="long " * 40)))
    lines = cli("log").out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert MESSAGE_ID in lines[1]
    assert lines[2].strip().startswith("long long")
    assert lines[2].endswith("…")


def test_filters_and_times_reach_the_server(cli: Cli, server: ScriptedServer) -> None:
    server.answer("GET", _PATH, page())
    begin = datetime.now(UTC)
    ended = cli(
        *("log", "--topic", "sales", "--channel", "mail", "--status", "failed"),
        *("--reference", "order 7", "--q", "añil", "--limit", "250"),
        *("--since", "1h", "--until", "2026-11-23T22:00:00+01:00"),
    )
    query = _query(server)
    since = datetime.fromisoformat(query.pop("since"))
    assert timedelta(0) <= since - (begin - timedelta(hours=1)) < timedelta(minutes=1)
    assert query == {
        "topic": "sales",
        "channel": "mail",
        "status": "failed",
        "reference": "order 7",
        "q": "añil",
        "limit": "250",
        "until": "2026-11-23T21:00:00+00:00",
    }
    assert (ended.out, ended.err) == ("", "No messages.\n")


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize("time", ["yesterday", "1x", "", "999999w"])
def test_a_time_that_is_none_is_refused(
    cli: Cli, server: ScriptedServer, option: str, time: str
) -> None:
    ended = cli("log", option, time)
    assert ended.code == 2
    assert option in ended.complaint
    assert server.asked == []


def test_more_than_a_page_is_refused(cli: Cli, server: ScriptedServer) -> None:
    assert cli("log", "--limit", "251").code == 2
    assert server.asked == []


def test_older_messages_are_mentioned(cli: Cli, server: ScriptedServer) -> None:
    server.answer("GET", _PATH, page(a_message(), cursor="abc"))
    assert cli("log").err == "There are older ones; see --limit, --until.\n"


def test_json_is_the_page_as_it_came(cli: Cli, server: ScriptedServer) -> None:
    server.answer("GET", _PATH, page(a_message(), cursor="abc"))
    ended = cli("log", "--json")
    assert json.loads(ended.out) == page(a_message(), cursor="abc")
    assert ended.err == ""


@pytest.fixture
def follower(server: ScriptedServer) -> following.Looks:
    return following.Looks(Server(server.url), {"topic": "sales"})


def test_following_begins_with_the_newest_and_shows_them_oldest_first(
    server: ScriptedServer, follower: following.Looks
) -> None:
    three, two, one = (_numbered(number) for number in (3, 2, 1))
    server.answer("GET", _PATH, page(three, two, one))
    assert follower.begin(2) == [two, three]
    assert follower.look() == []


def test_following_shows_what_comes_once_and_again_when_it_is_settled(
    server: ScriptedServer, follower: following.Looks
) -> None:
    queued, sending, sent = (_numbered(2, status=one) for one in ("queued", "sending", "sent"))
    server.answer(
        "GET",
        _PATH,
        page(_numbered(1)),
        page(queued, _numbered(1)),
        page(sending, _numbered(1)),
        page(_numbered(3), sent, _numbered(1)),
    )
    assert follower.begin(10) == [_numbered(1)]
    assert follower.look() == [queued]
    assert follower.look() == []
    assert follower.look() == [sent, _numbered(3)]
    assert _query(server) == {"topic": "sales", "limit": "250"}


def test_following_tells_what_settles_behind_many_newer_ones(
    server: ScriptedServer, follower: following.Looks
) -> None:
    far = _numbered(1, status="queued")
    purged = _numbered(2, status="sending")
    newest = [_numbered(number) for number in range(252, 2, -1)]
    server.answer("GET", _PATH, page(purged, far), page(*newest[:-1], purged), page(*newest))
    settled = _numbered(1, status="failed")
    story = settled | {"deliveries": [], "timeline": []}
    server.answer("GET", f"{_PATH}/{far['id']}", far | {"timeline": []}, story)
    server.answer("GET", f"{_PATH}/{purged['id']}", problem(404, "There is no such message."))
    assert follower.begin(10) == [far, purged]
    assert follower.look() == newest[-2::-1]
    assert follower.look() == [newest[-1], settled]
    asked = len(server.asked)
    assert follower.look() == []
    # Neither of them is asked for any more.
    assert len(server.asked) == asked + 1


def test_following_asks_for_nothing_that_has_left_a_list_of_one_status(
    server: ScriptedServer,
) -> None:
    server.answer("GET", _PATH, page(_numbered(1, status="queued")), page())
    follower = following.Looks(Server(server.url), {"status": "queued"})
    follower.begin(10)
    assert follower.look() == []
    assert len(server.asked) == 2


def test_following_says_why_a_message_cannot_be_asked_for(
    server: ScriptedServer, follower: following.Looks
) -> None:
    server.answer("GET", _PATH, page(_numbered(1, status="queued")), page())
    server.answer("GET", f"{_PATH}/{_numbered(1)['id']}", problem(403, "Not for this token."))
    follower.begin(10)
    with pytest.raises(AlmenaraError, match="Not for this token"):
        follower.look()


def test_following_reads_on_until_it_meets_what_it_knows(
    server: ScriptedServer, follower: following.Looks
) -> None:
    newest = [_numbered(number) for number in range(501, 251, -1)]
    older = [_numbered(number) for number in range(251, 1, -1)]
    server.answer(
        "GET",
        _PATH,
        page(_numbered(1)),
        page(*newest, cursor="more"),
        page(*older[:249], _numbered(1), cursor="even-more"),
        page(*newest[:1]),
    )
    follower.begin(10)
    assert len(follower.look()) == 250 + 249
    assert _query(server)["cursor"] == "more"
    assert follower.look() == []


def test_following_says_so_when_it_cannot_keep_up(
    server: ScriptedServer,
    follower: following.Looks,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(following, "MOST_PAGES", 2)
    monkeypatch.setattr(following, "REMEMBERED", 300)
    newest = [_numbered(number) for number in range(900, 650, -1)]
    older = [_numbered(number) for number in range(650, 400, -1)]
    full = page(*newest, cursor="more"), page(*older, cursor="even-more")
    server.answer("GET", _PATH, page(), *full, page(_numbered(901), *newest[:249], cursor="more"))
    follower.begin(10)
    assert len(follower.look()) == 500
    assert capsys.readouterr().err.startswith("More than 500 came")
    assert follower.look() == [_numbered(901)]


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_ctrl_c_ends_following_cleanly(
    cli: Cli, server: ScriptedServer, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "FOLLOW_SECONDS", 0.01)
    newer = _numbered(2, topic="pricing")

    def press_ctrl_c(_: Received) -> Answer:
        os.kill(os.getpid(), signal.SIGINT)
        return Answer(200, page())

    server.answer(
        "GET",
        _PATH,
        page(_numbered(1)),
        page(newer, _numbered(1)),
        page(),
        press_ctrl_c,
    )
    ended = cli("log", "--follow", *arguments)
    assert (ended.code, ended.err) == (0, "")
    first, second = ended.out.splitlines()
    if arguments:
        assert [json.loads(first), json.loads(second)] == [_numbered(1), newer]
    else:
        assert "sales" in first
        assert "pricing" in second
        assert first.index("I need help") == second.index("I need help")


def test_following_survives_a_break_and_shows_what_came_meanwhile(
    cli: Cli, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "FOLLOW_SECONDS", 0.01)
    monkeypatch.setattr(following, "LONGEST_PAUSE_SECONDS", 0.02)
    newer = _numbered(2, topic="pricing")

    def hang_up(_: Received) -> Answer:
        raise ConnectionError

    def press_ctrl_c(_: Received) -> Answer:
        os.kill(os.getpid(), signal.SIGINT)
        return Answer(200, page())

    away = problem(503, "Later.")
    back = page(newer, _numbered(1))
    server.answer("GET", _PATH, page(_numbered(1)), hang_up, away, away, back, press_ctrl_c)
    ended = cli("log", "--follow")
    assert ended.code == 0
    assert len(ended.out.splitlines()) == 2
    assert "pricing" in ended.out.splitlines()[1]
    assert ended.err == (
        f"The server at {server.url} ended the connection without an answer; it may have done "
        "what was asked. Trying again.\nThe server answers again.\n"
    )


@pytest.mark.parametrize(("status", "code"), [(403, 77), (500, 70)])
def test_following_ends_when_waiting_is_of_no_use(
    cli: Cli,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: int,
) -> None:
    monkeypatch.setattr(following, "FOLLOW_SECONDS", 0.01)
    server.answer("GET", _PATH, page(), problem(status, "It cannot be."))
    ended = cli("log", "--follow")
    assert (ended.code, ended.err) == (code, "Error: It cannot be.\n")


def test_following_does_not_begin_without_a_server(cli: Cli, server: ScriptedServer) -> None:
    server.refuse("GET", _PATH, 503, "Later.")
    assert cli("log", "--follow").code == 75
    assert len(server.asked) == 1
