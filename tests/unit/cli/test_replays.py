"""The commands that send many deliveries again."""

from __future__ import annotations

import json
import signal
from datetime import datetime
from typing import Any

import pytest

from almenara.testing import Answer, Received
from tests.scripted_server import ScriptedServer
from tests.unit.cli.answers import BEGIN, MESSAGE_ID, a_delivery
from tests.unit.cli.conftest import Cli

REPLAY_ID = "019aa2f0-7c30-7000-9d0c-3f1d2b7a6e88"
PATH = f"/v1/replays/{REPLAY_ID}"


def a_replay(**changes: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("pending", "sending", "sent", "failed", "held", "cancelled"), 0)
    filters = dict.fromkeys(("topic", "status", "reason", "until")) | {
        "channel": "team-slack",
        "since": BEGIN,
    }
    return {
        "id": REPLAY_ID,
        "status": "running",
        "filters": filters,
        "rate": "10/s",
        "total_count": 1200,
        "resent_count": 0,
        "skipped_count": 0,
        "requested_by": None,
        "created_at": BEGIN,
        "finished_at": None,
        "deliveries": counts | changes.pop("deliveries", {}),
    } | changes


def found(count: int = 1, **changes: Any) -> dict[str, Any]:
    sample = a_delivery(status="failed", reason="permanent")
    return {"count": count, "count_is_capped": False, "sample": [sample]} | changes


def test_a_dry_run_shows_how_many_and_some_of_them(cli: Cli, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/replays", found(10_000, count_is_capped=True))
    ended = cli("replay", "--channel", "team-slack", "--dry-run")
    assert server.asked[0].json() == {"channel": "team-slack", "dry_run": True}
    lines = ended.out.splitlines()
    assert lines[0] == "More than 10,000 deliveries would be sent again."
    assert lines[2].split()[-4:] == ["team-slack", "failed", "permanent", MESSAGE_ID]
    assert ended.err == "These are the oldest of them.\n"
    server.answer("POST", "/v1/replays", found())
    ended = cli("replay", "--topic", "sales", "--dry-run")
    assert ended.out.startswith("1 delivery would be sent again.\n")
    assert ended.err == ""
    assert json.loads(cli("replay", "--topic", "x", "--dry-run", "--json").out) == found()
    assert len(server.asked) == 3


def test_every_option_reaches_the_replay_which_is_watched_to_its_end(
    cli: Cli, server: ScriptedServer
) -> None:
    server.answer("POST", "/v1/replays", a_replay(), status=202)
    done = a_replay(
        status="done", resent_count=1198, skipped_count=2, deliveries={"sent": 1000, "pending": 198}
    )
    server.answer("GET", PATH, a_replay(), a_replay(resent_count=600), done)
    ended = cli(
        *("replay", "--channel", "c", "--topic", "t", "--status", "failed", "--since", "2d"),
        *("--reason", "permanent", "--until", "1h", "--rate", "10/s", "--yes"),
    )
    body = server.asked[0].json()
    spans = [datetime.fromisoformat(body.pop(name)) for name in ("since", "until")]
    assert (spans[1] - spans[0]).total_seconds() == 47 * 3600
    assert body == {
        "channel": "c",
        "topic": "t",
        "status": "failed",
        "reason": "permanent",
        "rate": "10/s",
    }
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (
        f"Replay {REPLAY_ID} is done: 1,198 sent again, 2 left out; by now 198 pending, 1,000"
        " sent.\n"
    )
    assert [one.method for one in server.asked] == ["POST", "GET", "GET", "GET"]


def test_json_is_the_replay_as_it_ended(cli: Cli, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/replays", a_replay(), status=202)
    server.answer("GET", PATH, a_replay(status="done"))
    ended = cli("replay", "--topic", "t", "--yes", "--json")
    assert json.loads(ended.out) == a_replay(status="done")


def test_a_replay_that_somebody_cancelled_is_not_done(cli: Cli, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/replays", a_replay(), status=202)
    server.answer("GET", PATH, a_replay(status="cancelled", resent_count=3))
    ended = cli("replay", "--topic", "t", "--yes")
    assert (ended.code, ended.out) == (1, f"Replay {REPLAY_ID} is cancelled: 3 sent again.\n")


def test_detached_nothing_is_waited_for(cli: Cli, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/replays", a_replay(), status=202)
    ended = cli("replay", "--topic", "t", "--yes", "--detach")
    assert ended.out == f"Replay {REPLAY_ID} has begun: 1,200 to send again.\n"
    assert json.loads(cli("replay", "--topic", "t", "-y", "--detach", "--json").out) == a_replay()
    assert {one.method for one in server.asked} == {"POST"}


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_without_a_terminal_nobody_is_asked_and_nothing_sent(
    cli: Cli, server: ScriptedServer, more: tuple[str, ...]
) -> None:
    ended = cli("replay", "--topic", "t", *more)
    assert ended.code == 2
    assert "add --yes" in ended.complaint
    assert server.asked == []


def test_ctrl_c_ends_only_the_watching_and_says_how_to_go_on(
    cli: Cli, server: ScriptedServer
) -> None:
    server.answer("POST", "/v1/replays", a_replay(), status=202)

    def interrupt(_: Received) -> Answer:
        signal.raise_signal(signal.SIGINT)
        return Answer(200, a_replay())

    server.answer("GET", PATH, a_replay(), interrupt)
    ended = cli("replay", "--topic", "t", "--yes")
    assert ended.code == 130
    assert f"`almenara replays cancel {REPLAY_ID}` stops it" in ended.err
    assert {one.method for one in server.asked} == {"POST", "GET"}


def test_nothing_to_replay_is_said_in_the_servers_words(cli: Cli, server: ScriptedServer) -> None:
    server.refuse("POST", "/v1/replays", 422, "There is nothing to replay: no failed delivery.")
    ended = cli("replay", "--topic", "t", "--yes")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "Error: There is nothing to replay: no failed delivery.\n"


@pytest.mark.parametrize("bare", [["replays"], ["replays", "list"]])
def test_replays_are_listed_with_how_far_each_has_come(
    cli: Cli, server: ScriptedServer, bare: list[str]
) -> None:
    listed = {"data": [a_replay(status="done", resent_count=7)], "next_cursor": None}
    server.answer("GET", "/v1/replays", listed)
    head, row = cli(*bare).out.splitlines()
    assert head.split() == ["TIME", "STATUS", "SENT", "AGAIN", "OF", "REPLAY", "FILTERS"]
    assert row.split()[2:6] == ["done", "7", "1200", REPLAY_ID]
    assert row.endswith("channel team-slack, since 2026-11-24 03:30:00")
    assert json.loads(cli(*bare, "--json").out) == listed
    server.answer("GET", "/v1/replays", {"data": [], "next_cursor": None})
    assert cli(*bare).err.startswith("No replays yet")


@pytest.mark.parametrize(("verb", "method"), [("show", "GET"), ("cancel", "DELETE")])
def test_a_replay_is_shown_and_cancelled(
    cli: Cli, server: ScriptedServer, verb: str, method: str
) -> None:
    one = a_replay(resent_count=5, deliveries={"sent": 4, "failed": 1}, requested_by="ana")
    server.answer(method, PATH, one)
    shown = cli("replays", verb, REPLAY_ID).out
    assert [line.split(maxsplit=1)[0] for line in shown.splitlines()][:4] == [
        "replay",
        "status",
        "filters",
        "rate",
    ]
    for line in ("sent again  5", "of these    4 sent, 1 failed", "asked by    ana"):
        assert line in shown
    assert json.loads(cli("replays", verb, REPLAY_ID, "--json").out) == one
