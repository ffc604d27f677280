"""Drills: a channel is checked really but silently, when somebody asks and by its schedule."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from almenara.settings import Settings
from almenara.testing import Answer as Told
from almenara.testing import FakeService
from tests.serving import Client, make_settings, served, until

SOURCE = '''
import threading
from pathlib import Path
from almenara import ChannelError, PluginSettings, Receipt, SecretStr, TemporaryError

DIRECTORY = Path({directory!r})


class Tower:
    """Its fire burns, or not, as a file says."""

    class Settings(PluginSettings):
        token: SecretStr = SecretStr("s3cr3t-t0ken")

    def __init__(self, settings):
        self.token = settings.token.get_secret_value()

    async def send_message(self, message, background_tasks):
        return "sent"

    async def verify(self):
        with (DIRECTORY / "drills").open("a") as file:
            file.write("drilled\\n")
        said = (DIRECTORY / "says").read_text()
        if said == "refused":
            raise ChannelError(f"The tower refused the token ({{self.token}})")
        if said == "away":
            raise TemporaryError("The tower is away.")
        return Receipt(detail=f"It is {{said}}.")
'''


class Tower:
    """The tower that the plugin looks at."""

    def __init__(self, directory: Path, plugins_dir: Path) -> None:
        self._directory = directory
        (plugins_dir / "tower").mkdir(parents=True)
        (plugins_dir / "tower" / "tower.py").write_text(SOURCE.format(directory=str(directory)))
        self.says("lit")

    def says(self, word: str) -> None:
        (self._directory / "says").write_text(word)

    @property
    def drill_count(self) -> int:
        file = self._directory / "drills"
        return len(file.read_text().splitlines()) if file.exists() else 0


class Clock:
    """The time, and what was skipped of it."""

    def __init__(self) -> None:
        self.skipped = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.skipped


@pytest.fixture
def tower(tmp_path: Path, settings: Settings) -> Tower:
    return Tower(tmp_path, settings.plugins_dir)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(settings: Settings, tower: Tower, clock: Clock) -> AsyncIterator[Client]:
    async with served(settings, clock=clock) as one:
        yield one


async def channel(client: Client, name: str = "north", plugin: str = "Tower", **fields: Any) -> Any:
    created = await client.post("/v1/channels", {"name": name, "plugin": plugin, **fields})
    assert created.status == 201, created.text
    return created.body


async def shown(client: Client, name: str = "north") -> Any:
    return (await client.get(f"/v1/channels/{name}")).body


async def verify(client: Client, name: str = "north") -> Any:
    answer = await client.post(f"/v1/channels/{name}/verify")
    assert answer.status == 200, answer.text
    return answer.body


async def told(client: Client, topic: str) -> list[Any]:
    return list((await client.get(f"/v1/messages?topic={topic}")).body["data"])


async def drilled(client: Client, after: Any, name: str = "north") -> Any:
    """Wait until a channel's last drill is another one, and return the channel."""

    async def look() -> Any:
        now = await shown(client, name)
        return now if now["verified_at"] != after["verified_at"] else None

    return await until(look)


async def test_a_drill_that_is_asked_for_is_made_and_shown(client: Client, tower: Tower) -> None:
    created = await channel(client)
    assert (created["verified_at"], created["verify_outcome"]) == (None, None)
    outcome = await verify(client, "NORTH")
    assert outcome | {"duration_ms": 0} == {
        "channel": "north",
        "supported": True,
        "verified": True,
        "detail": "It is lit.",
        "error": None,
        "duration_ms": 0,
        "verified_at": outcome["verified_at"],
    }
    assert tower.drill_count == 1
    now = await shown(client)
    assert now == created | {
        "verified_at": outcome["verified_at"],
        "verify_outcome": "ok",
        "verify_detail": "It is lit.",
    }
    assert (await client.get("/v1/channels")).body["data"][1] == now
    assert (await client.get("/v1/messages")).body["data"] == []


async def test_a_refusal_says_what_to_do_and_tells_no_secret(client: Client, tower: Tower) -> None:
    await channel(client, settings={"token": "hush-hush"})
    tower.says("refused")
    outcome = await verify(client)
    assert (outcome["verified"], outcome["supported"], outcome["detail"]) == (False, True, None)
    assert outcome["error"] == (
        "The tower refused the token (********). Write it anew with PATCH /v1/channels/north."
    )
    tower.says("away")
    assert (await verify(client))["error"] == "The tower is away."
    assert (await shown(client))["state"] == "active"


async def test_a_plugin_without_a_check_says_so(client: Client) -> None:
    outcome = await verify(client, "log")
    assert (outcome["supported"], outcome["verified"], outcome["error"]) == (False, False, None)
    assert outcome["detail"] == (
        "The plugin Log has no silent check: POST /v1/channels/log/test sends a real message."
    )
    assert (await shown(client, "log"))["verify_outcome"] == "unsupported"
    plugins = {
        one["name"]: one["verifies"] for one in (await client.get("/v1/plugins")).body["data"]
    }
    assert (plugins["Tower"], plugins["Log"]) == (True, False)
    written = await channel(client, "log2", "Log", verify_every="1h")
    assert written["warnings"] == ["verify_every: the plugin Log has no silent check to be made."]
    assert (await channel(client, verify_every="1h"))["warnings"] == []


async def test_paused_and_disabled_channels_are_drilled_too(client: Client) -> None:
    await channel(client)
    paused = (await client.post("/v1/channels/north/pause")).body
    assert (await verify(client))["verified"]
    now = await shown(client)
    assert (now["state"], now["state_changed_at"]) == ("paused", paused["state_changed_at"])
    await client.call("PATCH", "/v1/channels/north", {"enabled": False})
    assert (await verify(client))["verified"]


async def test_a_channel_that_is_not_there_is_not_drilled(client: Client) -> None:
    assert (await client.post("/v1/channels/nowhere/verify")).status == 404


async def test_whoever_asks_stands_in_the_audit_and_no_revision_moves(client: Client) -> None:
    await channel(client)
    [before] = await client.parts.database.fetch("SELECT revision FROM configuration")
    await verify(client)
    [after] = await client.parts.database.fetch("SELECT revision FROM configuration")
    assert before == after
    [row] = await client.parts.database.fetch("SELECT revision FROM channel WHERE name = 'north'")
    assert row["revision"] == 1
    newest = (await client.get("/v1/audit")).body["data"][0]
    assert (newest["action"], newest["object"]) == ("channel.verified", "channel/north")


async def test_settings_that_are_not_complete_fail_the_drill(
    settings: Settings, client: Client
) -> None:
    made = await client.post("/v1/channels", {"name": "shop", "plugin": "Gotify"})
    assert made.status == 201
    error = (await verify(client, "shop"))["error"]
    assert "settings.server" in error
    assert error.endswith("PATCH /v1/channels/shop.")


async def test_a_change_is_told_once_for_bad_and_once_for_good(
    client: Client, tower: Tower
) -> None:
    await channel(client)
    for topic in ("almenara.drill-failed", "almenara.drill-recovered"):
        made = await client.post("/v1/topics", {"name": topic, "channels": ["log"]})
        assert made.status == 201, made.text
    await verify(client)
    tower.says("away")
    await verify(client)
    tower.says("refused")
    await verify(client)
    [news] = await told(client, "almenara.drill-failed")
    assert news["title"] == "Drill failed: north"
    assert news["data"] == {"channel": "north", "outcome": "failed", "detail": "The tower is away."}
    assert "A drill pauses nothing" in news["description"]
    assert await told(client, "almenara.drill-recovered") == []
    tower.says("lit")
    await verify(client)
    await verify(client)
    [news] = await told(client, "almenara.drill-recovered")
    assert news["data"]["outcome"] == "ok"
    assert len(await told(client, "almenara.drill-failed")) == 1


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("59s", "at least 1m apart"),
        ("31d", "longer than 30d"),
        ("soon", "10s, 5m, 2h or 1d"),
        ("", "10s, 5m, 2h or 1d"),
        (60, "string"),
        ("1" * 17, "at most 16 characters"),
    ],
)
async def test_a_schedule_that_cannot_be_is_refused(
    client: Client, value: object, says: str
) -> None:
    body = {"name": "north", "plugin": "Tower", "verify_every": value}
    refused = await client.post("/v1/channels", body)
    assert refused.status == 422
    [error] = refused.body["errors"]
    assert error["field"] == "verify_every"
    assert says in error["message"]


async def test_a_schedule_is_shown_as_written_and_taken_away(client: Client) -> None:
    assert (await channel(client, verify_every="30D"))["verify_every"] == "30D"
    changed = await client.call("PATCH", "/v1/channels/north", {"verify_every": "1m"})
    assert changed.body["verify_every"] == "1m"
    replaced = await client.call("PUT", "/v1/channels/north", {"plugin": "Tower"})
    assert replaced.body["verify_every"] is None
    assert await due(client) is None


async def due(client: Client) -> Any:
    [row] = await client.parts.database.fetch("SELECT verify_due_at FROM channel_state")
    return row["verify_due_at"]


async def test_a_channel_is_drilled_by_its_schedule_and_no_sooner(
    client: Client, tower: Tower, clock: Clock
) -> None:
    created = await channel(client, verify_every="1h")
    clock.skipped += timedelta(minutes=1)
    first = await drilled(client, created)
    assert first["verify_outcome"] == "ok"
    clock.skipped += timedelta(minutes=40)
    # It is looked for what is due, and this one is not: another one, asked for, comes first.
    await verify(client, "log")
    assert tower.drill_count == 1
    clock.skipped += timedelta(minutes=40)
    await drilled(client, first)
    assert tower.drill_count == 2


async def test_a_disabled_channel_is_not_drilled_by_its_schedule(
    client: Client, tower: Tower, clock: Clock
) -> None:
    created = await channel(client, verify_every="1m", enabled=False)
    clock.skipped += timedelta(days=1)
    await verify(client, "log")
    assert tower.drill_count == 0
    await client.call("PATCH", "/v1/channels/north", {"enabled": True})
    clock.skipped += timedelta(minutes=1)
    await drilled(client, created)


async def test_written_anew_a_channel_is_drilled_soon(
    client: Client, tower: Tower, clock: Clock
) -> None:
    tower.says("refused")
    created = await channel(client, verify_every="30d")
    clock.skipped += timedelta(minutes=1)
    failed = await drilled(client, created)
    assert failed["verify_outcome"] == "failed"
    tower.says("lit")
    await client.call("PATCH", "/v1/channels/north", {"settings": {"token": "another"}})
    clock.skipped += timedelta(minutes=1)
    assert (await drilled(client, failed))["verify_outcome"] == "ok"


async def test_what_is_due_survives_the_end_of_the_server(
    settings: Settings, tower: Tower, clock: Clock
) -> None:
    async with served(settings, clock=clock) as client:
        created = await channel(client, verify_every="30d")
    clock.skipped += timedelta(minutes=1)
    async with served(settings, clock=clock) as client:
        await drilled(client, created)
    async with served(settings, clock=clock) as client:
        await verify(client, "log")
    assert tower.drill_count == 1


async def test_a_date_beyond_any_schedule_was_a_clock_that_jumped(
    client: Client, clock: Clock
) -> None:
    created = await channel(client, verify_every="30d")
    clock.skipped -= timedelta(days=365)
    await drilled(client, created)


async def test_a_service_that_hangs_ends_with_the_channels_deadline(tmp_path: Path) -> None:
    with FakeService(Told(delay=3)) as receiver:
        async with served(make_settings(tmp_path)) as client:
            settings = {"server": receiver.url, "token": "hush-hush"}
            await channel(client, "push", "Gotify", settings=settings, timeout_seconds=1)
            outcome = await verify(client, "push")
    assert outcome["error"] == "The check took longer than the channel's deadline of 1 s."
