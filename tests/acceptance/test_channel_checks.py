"""The check of a channel's settings runs an author's code: it holds nobody up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from almenara.catalogue import channels, settings_check
from almenara.settings import Settings
from tests.serving import served, until

PLUGIN = """
import time
from pathlib import Path

from almenara import PluginSettings
from pydantic import field_validator

HERE = Path(__file__).parent


class Slow:
    class Settings(PluginSettings):
        word: str

        @field_validator("word")
        @classmethod
        def _wait(cls, value):
            (HERE / "begun").touch()
            while value == "wait" and not (HERE / "go").exists():
                time.sleep(0.01)
            return value

    def __init__(self, settings):
        pass

    async def send_message(self, message, background_tasks):
        return None
"""


@pytest.fixture
def directory(settings: Settings) -> Path:
    made = settings.plugins_dir / "slow"
    made.mkdir(parents=True)
    (made / "slow.py").write_text(PLUGIN)
    return made


def body(word: str) -> dict[str, object]:
    return {"plugin": "Slow", "settings": {"word": word}}


async def test_messages_are_accepted_while_a_plugin_checks_its_settings(
    settings: Settings, directory: Path
) -> None:
    async with served(settings) as client:
        writing = asyncio.create_task(client.call("PUT", "/v1/channels/slow", body("wait")))

        async def begun() -> bool:
            return (directory / "begun").exists()

        await until(begun)
        accepted = await client.post("/v1/messages", {"topic": "hello", "description": "now"})
        assert accepted.status == 202
        assert not writing.done()
        (directory / "go").touch()
        assert (await writing).status == 201


async def test_a_check_that_hangs_is_given_up_and_the_channel_not_written(
    settings: Settings, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_check, "_CHECK_SECONDS", 0.2)
    async with served(settings) as client:
        refused = await client.call("PUT", "/v1/channels/slow", body("wait"))
        assert (refused.status, refused.body["code"]) == (422, "plugin_broken")
        assert "for longer than 0.2 s" in refused.body["detail"]
        assert (await client.get("/v1/channels/slow")).status == 404
        (directory / "go").touch()


async def test_a_channel_that_changed_during_the_check_is_looked_at_again(
    settings: Settings, directory: Path
) -> None:
    async with served(settings) as client:
        await client.call("PUT", "/v1/channels/slow", body("quick"))
        (directory / "begun").unlink()
        patch = asyncio.create_task(
            client.call("PATCH", "/v1/channels/slow", {"settings": {"word": "wait"}})
        )

        async def begun() -> bool:
            return (directory / "begun").exists()

        await until(begun)
        other = await client.call("PATCH", "/v1/channels/slow", {"concurrency": 3})
        assert other.status == 200
        (directory / "go").touch()
        assert (await patch).status == 200
        channel = (await client.get("/v1/channels/slow")).body
        assert (channel["settings"], channel["concurrency"]) == ({"word": "wait"}, 3)


async def test_a_channel_that_changes_all_the_time_is_a_503(
    settings: Settings, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(settings.model_copy(update={"plugins_dir": directory.parent})) as client:
        monkeypatch.setattr(channels, "_LOOKS_ALLOWED", 0)
        refused = await client.call("PUT", "/v1/channels/slow", body("quick"))
        assert (refused.status, refused.body["code"]) == (503, "unavailable")
