"""`almenara check`: what is wrong with a set-up is found before serving, and nothing is changed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import almenara.migrations
from almenara.api.parts import Parts
from almenara.app import running
from almenara.catalogue import ChannelSpec, TopicSpec, TopicStep
from almenara.check import Finding, check_set_up
from almenara.cli import run
from almenara.sending import opened
from almenara.settings import Settings
from tests.plugins.author import Author
from tests.processes import ServerProcess
from tests.serving import make_settings
from tests.tables import make_tables

KEYED = """
from almenara import PluginSettings, SecretStr

class Keyed:
    class Settings(PluginSettings):
        token: SecretStr
        room: str = "lobby"

    def __init__(self, settings):
        if settings.room == "nowhere":
            raise ValueError("no room for " + settings.token.get_secret_value())

    def send_message(self, message, background_tasks):
        return None
"""


@pytest.fixture(autouse=True)
def keyed(settings: Settings) -> Path:
    file = settings.plugins_dir / "keyed" / "keyed.py"
    file.parent.mkdir(parents=True)
    file.write_text(KEYED)
    return file


async def set_up(settings: Settings, *specs: ChannelSpec | TopicSpec) -> None:
    """Serve once, so that everything is there."""
    await make_tables(settings)
    async with running(settings) as parts:
        for spec in specs:
            await write(parts, spec)


async def write(parts: Parts, spec: ChannelSpec | TopicSpec) -> None:
    writer: Any = parts.channels if isinstance(spec, ChannelSpec) else parts.topics
    await writer.write(spec, create=True, replace=True)


def a_keyed(name: str = "door", **settings: Any) -> ChannelSpec:
    values = {"token": "hunter22-of-the-door"} | settings
    return ChannelSpec(name=name, plugin="Keyed", settings=values)


async def found(settings: Settings) -> dict[str, Finding]:
    findings = await check_set_up(settings)
    assert len({one.subject for one in findings}) == len(findings)
    assert "hunter22" not in repr(findings)
    return {one.subject: one for one in findings}


def looked_at(settings: Settings, *more: str) -> set[str]:
    """Return what a check looks at, whatever it finds."""
    disk = {"disk"} if settings.uses_sqlite else set()
    return {"plugins", "tokens", "database", "clock", "versions", *disk, *more}


async def test_an_empty_database_is_fine_and_stays_empty(settings: Settings) -> None:
    for _ in range(2):
        findings = await found(settings)
        assert findings["database"].level == "ok"
        assert "It is empty; `almenara serve` will make the tables" in findings["database"].message
    assert findings["plugins"].message.startswith("Found ")
    assert "Keyed" in findings["plugins"].message
    assert set(findings) == looked_at(settings)


async def test_a_set_up_that_works_has_nothing_but_good_findings(settings: Settings) -> None:
    await set_up(settings, a_keyed())
    findings = await found(settings)
    assert {one.level for one in findings.values()} == {"ok"}
    assert set(findings) == looked_at(settings, "channel log", "channel door")
    dialect = "sqlite" if settings.uses_sqlite else "postgres"
    assert findings["database"].message == f"{dialect}, the schema is current."
    assert findings["channel door"].message == "Keyed can be built."


async def test_an_older_schema_is_told_with_the_command_that_cures_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_up(settings)
    later = tmp_path / "later"
    later.mkdir()
    (later / "9998_later.py").touch()
    monkeypatch.setattr(almenara.migrations, "__path__", [*almenara.migrations.__path__, later])
    findings = await found(settings)
    assert findings["database"].level == "error"
    assert "(9998_later is missing)" in findings["database"].message
    assert "`almenara migrate`" in findings["database"].message
    assert set(findings) == looked_at(settings)


async def test_a_newer_schema_is_told(settings: Settings) -> None:
    await set_up(settings)
    async with opened(settings) as database, database.transaction() as transaction:
        await transaction.execute(
            "UPDATE tortoise_migrations SET name = '9999_from_the_future' WHERE name LIKE '0001%'"
        )
    findings = await found(settings)
    assert findings["database"].level == "error"
    assert "newer than this version" in findings["database"].message


async def test_a_broken_plugin_is_told_with_its_reason_and_the_rest_goes_on(
    settings: Settings, keyed: Path
) -> None:
    await set_up(settings, a_keyed())
    keyed.write_text("import a_library_that_nobody_has\n" + KEYED)
    findings = await found(settings)
    broken = findings["plugin Keyed"]
    assert (broken.level, "a_library_that_nobody_has" in broken.message) == ("error", True)
    assert findings["channel door"].level == "error"
    assert findings["channel log"].level == findings["database"].level == "ok"


async def test_a_channel_whose_plugin_is_gone_is_told(settings: Settings, keyed: Path) -> None:
    await set_up(settings, a_keyed())
    shutil.rmtree(keyed.parent)
    finding = (await found(settings))["channel door"]
    assert (finding.level, "There is no plugin 'Keyed'" in finding.message) == ("error", True)


async def test_a_channel_whose_settings_are_not_complete_here_is_told_field_by_field(
    settings: Settings, keyed: Path
) -> None:
    await set_up(settings, a_keyed())
    keyed.write_text(KEYED.replace("room: str", "floor: int\n        room: str"))
    finding = (await found(settings))["channel door"]
    assert finding.level == "error"
    assert finding.message.startswith("settings.floor: It is missing")


async def test_a_channel_whose_plugin_cannot_be_built_is_told_without_its_secret(
    settings: Settings, keyed: Path
) -> None:
    await set_up(settings, a_keyed(room="nowhere"))
    finding = (await found(settings))["channel door"]
    assert (finding.level, "no room for ***" in finding.message) == ("error", True)


async def test_a_secret_that_another_key_sealed_is_told(settings: Settings, tmp_path: Path) -> None:
    await set_up(settings, a_keyed())
    other = {"secret_key": "b3RoZXIga2V5IG90aGVyIGtleSBvdGhlciBrZXkhISE="}
    finding = (await found(changed(settings, **other)))["channel door"]
    assert finding.level == "error"
    assert finding.message.startswith("The secret 'token' does not open")


async def test_a_bad_key_is_told_and_what_needs_it_is_not_looked_at(settings: Settings) -> None:
    await set_up(settings, a_keyed())
    findings = await found(changed(settings, secret_key="short"))
    assert findings["secret key"].level == "error"
    assert "ALMENARA_SECRET_KEY is not 32 bytes" in findings["secret key"].message
    assert set(findings) == looked_at(settings, "secret key")


def changed(settings: Settings, **values: object) -> Settings:
    return Settings.model_validate(settings.model_dump() | values)


async def test_what_leads_nowhere_or_rests_is_a_warning(settings: Settings) -> None:
    await set_up(
        settings,
        ChannelSpec(name="resting", plugin="Log", enabled=False),
        TopicSpec(name="idle", channels=[TopicStep("resting")]),
        TopicSpec(name="closed", channels=[TopicStep("log")], enabled=False),
        TopicSpec(name="both", channels=[TopicStep("resting"), TopicStep("log")]),
    )
    findings = await found(settings)
    warnings = {name for name, one in findings.items() if one.level == "warning"}
    assert warnings == {"channel resting", "topic idle", "topic closed"}
    assert "sent nowhere" in findings["topic idle"].message
    assert "keeps waiting" in findings["channel resting"].message


async def test_a_constructor_that_wants_the_loop_is_built_as_an_attempt_would(
    settings: Settings,
) -> None:
    Author(settings.plugins_dir)
    await set_up(settings, ChannelSpec(name="loop", plugin="NeedsLoop"))
    assert (await found(settings))["channel loop"].level == "ok"


async def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the directory should be")
    finding = (await found(make_settings(tmp_path)))["database"]
    assert finding.level == "error"
    assert str(tmp_path / "data") in finding.message


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_while_a_server_runs_its_sqlite_database_is_left_alone(settings: Settings) -> None:
    async with running(settings):
        finding = (await found(settings))["database"]
        assert finding.level == "error"
        assert "Another process serves this SQLite database already" in finding.message
        assert f"process {os.getpid()}" in finding.message
    assert (await found(settings))["database"].level == "ok"


@pytest.mark.parametrize(
    "settings", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
def test_on_postgresql_a_running_server_is_looked_at(settings: Settings, tmp_path: Path) -> None:
    assert settings.database_url is not None
    with ServerProcess(tmp_path, database_url=settings.database_url.get_secret_value()) as server:
        assert server.url
        findings = asyncio.run(found(settings))
        assert server.running
    assert {one.level for one in findings.values()} == {"ok"}
    assert "channel log" in findings


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run `almenara check` in this process, and return its exit code and what it wrote."""
    monkeypatch.setenv("ALMENARA_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("ALMENARA_PLUGINS_DIR", str(settings.plugins_dir))

    def check(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        return run(["check", *arguments]), capsys.readouterr().out

    return check


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_the_command_ends_with_zero_when_nothing_is_wrong(
    command: Command, settings: Settings
) -> None:
    code, text = command()
    assert code == 0
    assert [line.split()[:2] for line in text.splitlines()] == [
        ["ok", "plugins:"],
        ["ok", "versions:"],
        ["ok", "clock:"],
        ["ok", "database:"],
        ["ok", "disk:"],
        ["ok", "tokens:"],
    ]
    asyncio.run(set_up(settings, ChannelSpec(name="resting", plugin="Log", enabled=False)))
    code, text = command()
    assert (code, "warning  channel resting: It is disabled" in text) == (0, True)


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_the_command_ends_with_one_when_something_is_wrong(
    command: Command, settings: Settings, keyed: Path
) -> None:
    asyncio.run(set_up(settings, a_keyed()))
    shutil.rmtree(keyed.parent)
    code, text = command()
    assert (code, "ERROR    channel door: There is no plugin" in text) == (1, True)
    code, text = command("--json")
    assert code == 1
    [door] = [one for one in json.loads(text)["data"] if one["level"] == "error"]
    assert door["subject"] == "channel door"
    assert set(door) == {"subject", "level", "message"}


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_the_command_refuses_settings_that_cannot_be_used(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMENARA_PROT", "8000")
    assert command() == (78, "")
