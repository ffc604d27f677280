"""The audit: every change leaves one trace, with who, what and when; nothing else does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from almenara.cli import run
from almenara.retention import Retention
from almenara.trail import MOST_FORGOTTEN, Action
from tests.plugins.author import Author
from tests.processes import ServerProcess
from tests.serving import Client, make_settings, served, until
from tests.tokens import ISSUER, SECRET, bearer, token


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Client]:
    url = None
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_database")()
    Author(tmp_path / "plugins")
    settings = make_settings(tmp_path, url, jwt_issuer=ISSUER, jwt_secret=SECRET)
    async with served(settings) as one:
        yield one


def by(subject: str = "ana") -> dict[str, Any]:
    return {"headers": bearer(token(sub=subject))}


async def trail(client: Client, query: str = "") -> list[Any]:
    """Return the trail, oldest first, but for what furnished the new database."""
    entries = (await client.get(f"/v1/audit?limit=250{query}", **by())).body["data"]
    return [one for one in reversed(entries) if one["subject"] is not None]


async def test_each_change_leaves_one_trace(client: Client) -> None:
    channel = {"plugin": "Told", "settings": {"token": "c4nary"}, "retry_schedule": []}
    topic = {"channel": "told"}
    steps: list[tuple[str, str, Any]] = [
        ("POST", "/v1/channels", channel | {"name": "told"}),
        ("PATCH", "/v1/channels/told", {"concurrency": 3}),
        ("PATCH", "/v1/channels/told", {"settings": {"token": "c4nary-2"}}),
        ("PUT", "/v1/topics/sales", topic),
        ("PATCH", "/v1/topics/sales", {"redact": True}),
        ("PATCH", "/v1/topics/sales", {"redact": False}),
        ("POST", "/v1/channels/told/pause", {"reason": "a holiday"}),
        ("POST", "/v1/channels/told/resume", None),
        ("POST", "/v1/channels/told/verify", None),
    ]
    for method, path, body in steps:
        answer = await client.call(method, path, body, **by())
        assert answer.status in {200, 201}, answer.text
    failed = await client.post(
        "/v1/messages", {"topic": "sales", "description": "permanent"}, **by()
    )
    message_id = failed.body["id"]
    delivery_id = failed.body["deliveries"][0]["id"]
    await _final(client, message_id)
    assert (await client.post(f"/v1/messages/{message_id}/resend", **by())).status == 202
    second = (await _final(client, message_id))["deliveries"][-1]["id"]
    assert (await client.post(f"/v1/deliveries/{second}/resend", **by())).status == 202
    await _final(client, message_id)
    replay = await client.post("/v1/replays", {"topic": "sales", "rate": "1/h"}, **by())
    assert replay.status == 202
    later = {"topic": "sales", "description": "x", "send_at": _in_an_hour()}
    for kind in ("messages", "deliveries"):
        waiting = (await client.post("/v1/messages", later, **by())).body
        thing = waiting["id"] if kind == "messages" else waiting["deliveries"][0]["id"]
        assert (await client.post(f"/v1/{kind}/{thing}/cancel", **by())).status == 200
    assert (await client.call("DELETE", "/v1/topics/sales", **by("ben"))).status == 204
    force = await client.call("DELETE", "/v1/channels/told?force=true", **by("ben"))
    assert force.status == 204

    entries = await trail(client)
    assert [one["action"] for one in entries] == [
        "channel.created",
        "channel.changed",
        "channel.changed",
        "topic.created",
        "topic.changed",
        "topic.changed",
        "channel.paused",
        "channel.resumed",
        "channel.verified",
        "message.resent",
        "delivery.resent",
        "replay.created",
        "message.cancelled",
        "delivery.cancelled",
        "topic.deleted",
        "channel.deleted",
    ]
    assert [one["subject"] for one in entries] == ["ana"] * 14 + ["ben"] * 2
    created, changed, secret, *_ = entries
    assert created["object"] == "channel/told"
    assert created["before"] is None
    assert created["after"]["settings"] == {"token": "********"}
    assert (changed["before"]["concurrency"], changed["after"]["concurrency"]) == (16, 3)
    assert secret["after"]["secrets_written"] == ["token"]
    assert entries[4]["before"]["redact"] is False
    assert entries[4]["after"]["channels"] == [{"channel": "told", "condition": None}]
    assert entries[6]["after"] == {"detail": "a holiday"}
    assert entries[9]["object"] == f"message/{message_id}"
    assert entries[9]["after"] == {"deliveries": [second]}
    assert entries[10]["object"] == f"delivery/{second}"
    assert entries[11]["object"] == f"replay/{replay.body['id']}"
    assert entries[-1]["before"]["plugin"] == "Told"
    assert delivery_id != second
    assert "c4nary" not in str(entries)
    # Those of the next test, and what only SQLite does (test_backup.py).
    elsewhere = {"delivery.released", "replay.cancelled", "backup.taken"}
    tellable = {one.value for one in Action} - elsewhere
    assert {one["action"] for one in entries} == tellable


async def test_what_is_held_and_released_and_a_replay_that_is_stopped_leave_a_trace(
    client: Client,
) -> None:
    body = {"plugin": "Told", "retry_schedule": ["1h"], "on_unknown": "hold", "timeout_seconds": 1}
    assert (await client.call("PUT", "/v1/channels/told", body, **by())).status == 201
    accepted = await client.post("/v1/messages", {"channel": "told", "description": "hang"}, **by())
    story = await _final(client, accepted.body["id"])
    [delivery] = story["deliveries"]
    assert delivery["status"] == "held"
    assert (await client.post(f"/v1/deliveries/{delivery['id']}/release", **by())).status == 200
    for _ in range(2):
        failed = {"channel": "told", "description": "permanent"}
        await _final(client, (await client.post("/v1/messages", failed, **by())).body["id"])
    replay = await client.post("/v1/replays", {"channel": "told", "rate": "1/h"}, **by())
    assert (await client.call("DELETE", f"/v1/replays/{replay.body['id']}", **by())).status == 200
    actions = [one["action"] for one in await trail(client)]
    assert actions == [
        "channel.created",
        "delivery.released",
        "replay.created",
        "replay.cancelled",
    ]


async def test_what_changes_nothing_or_is_refused_leaves_no_trace(client: Client) -> None:
    assert (await client.call("PUT", "/v1/topics/x", {"channel": "log"}, **by())).status == 201
    before = await trail(client)
    nothing = [
        ("PUT", "/v1/topics/x", {"channel": "log"}, 200),
        ("PATCH", "/v1/topics/x", {"enabled": True}, 200),
        ("PATCH", "/v1/channels/log", {"concurrency": 16}, 200),
        ("PUT", "/v1/topics/y", {"channel": "unknown"}, 422),
        ("DELETE", "/v1/channels/log", None, 409),
        ("DELETE", "/v1/topics/unknown", None, 404),
        ("POST", "/v1/channels/log/resume", None, 409),
        ("POST", "/v1/messages/01999999-0000-7000-8000-000000000000/cancel", None, 404),
    ]
    for method, path, body, status in nothing:
        answer = await client.call(method, path, body, **by())
        assert answer.status == status, (path, answer.text)
    assert await trail(client) == before


async def test_the_list_is_narrowed_and_paged(client: Client) -> None:
    for number in range(5):
        path = f"/v1/topics/t{number}"
        await client.call("PUT", path, {"channel": "log"}, **by("ana" if number % 2 else "ben"))
    assert len(await trail(client, "&subject=ana")) == 2
    assert len(await trail(client, "&action=topic.created")) == 5
    assert len(await trail(client, "&action=topic.deleted")) == 0
    assert len(await trail(client, "&object=Topic/T3")) == 1
    assert await trail(client, "&since=2999-01-01T00:00:00Z") == []
    assert await trail(client, "&until=2001-01-01T00:00:00Z") == []
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await client.get(f"/v1/audit?limit=2{cursor}", **by())).body
        seen += [one["id"] for one in page["data"]]
        if not page["next_cursor"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == 7
    for query, field in (("action=unknown", "action"), ("object=%00", "object")):
        answer = await client.get(f"/v1/audit?{query}", **by())
        assert (answer.status, answer.body["errors"][0]["field"]) == (422, field)


async def test_it_is_for_administrators(client: Client) -> None:
    shown = {"headers": bearer(token(scope="config:write messages:read"))}
    assert (await client.get("/v1/audit", **shown)).status == 403


async def test_what_is_old_is_forgotten(client: Client) -> None:
    for number in range(3):
        await client.call("PUT", f"/v1/topics/t{number}", {"channel": "log"}, **by())
    assert MOST_FORGOTTEN > 3
    parts = client.parts

    def forgetting(days_from_now: int) -> Retention:
        moment = datetime.now(UTC) + timedelta(days=days_from_now)
        return Retention(
            database=parts.database,
            ledger=parts.ledger,
            clock=lambda: moment,
            days=0,
            audit_days=30,
        )

    assert await forgetting(29).forget_changes() == 0
    assert len(await trail(client)) == 3
    assert await forgetting(31).forget_changes() == 5
    assert await trail(client) == []


def test_the_command_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    with ServerProcess(tmp_path) as server:
        monkeypatch.setenv("ALMENARA_URL", server.url)
        assert run(["topics", "update", "hello", "--redact"]) == 0
        capsys.readouterr()
        assert run(["audit", "--object", "topic/hello", "--limit", "1"]) == 0
        shown = capsys.readouterr()
        assert "topic.changed" in shown.out
        assert "redact: False > True" in shown.out
        assert "There are older ones" in shown.err
        assert run(["audit", "--subject", "nobody"]) == 0
        assert "Nothing was changed." in "".join(capsys.readouterr())
        assert run(["audit", "--json"]) == 0
        assert '"topic.created"' in capsys.readouterr().out


async def _final(client: Client, message_id: str) -> Any:
    async def look() -> Any:
        story = (await client.get(f"/v1/messages/{message_id}", **by())).body
        statuses = {one["status"] for one in story["deliveries"]}
        return None if statuses & {"pending", "sending"} else story

    return await until(look)


def _in_an_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()
