"""Keys: secrets are sealed anew, all or none, and every key that sealed something is kept."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from almenara.cli import run
from almenara.errors import ConfigurationError
from almenara.rotating import Rotated, rotate_secrets
from almenara.secrets import Vault, open_vault, renew_key
from almenara.secrets.keys import new_key
from almenara.settings import Settings
from almenara.testing import FakeService
from tests.serving import Client, make_settings, served

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()


async def write_channels(client: Client, url: str) -> None:
    for name in ("one", "two"):
        settings: dict[str, Any] = {"url": url, "secret": SECRET}
        body = {"plugin": "Webhook", "settings": settings}
        answer = await client.call("PUT", f"/v1/channels/{name}", body)
        assert answer.status == 201, answer.text


async def rotated_by_command(settings: Settings, url: str) -> Any:
    """Run the command in a process of its own, beside the server."""
    assert settings.secret_keys_old is not None
    keys = {
        "ALMENARA_DATABASE_URL": url,
        "ALMENARA_SECRET_KEY": _key_of(settings),
        "ALMENARA_SECRET_KEYS_OLD": settings.secret_keys_old.get_secret_value(),
    }
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "almenara", "rotate-secrets", "--json"),
        env=os.environ | keys,
        stdout=asyncio.subprocess.PIPE,
    )
    written, _ = await command.communicate()
    return json.loads(written)


async def sends(client: Client) -> str:
    answer = await client.post("/v1/messages", {"channel": "one", "description": "x"})
    status: str = (await client.final(answer.body["id"]))["status"]
    return status


async def test_on_sqlite_a_new_key_is_made_and_everything_opens_with_it(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    with FakeService() as receiver:
        async with served(settings) as client:
            await write_channels(client, receiver.url)
        before = (settings.data_dir / "secret.key").read_text()
        assert await rotate_secrets(settings, new_key=True) == Rotated(2, 4)
        after = (settings.data_dir / "secret.key").read_text()
        old = settings.data_dir / "secret.key.old"
        assert before != after
        assert old.read_text() == before
        assert old.stat().st_mode & 0o777 == 0o600
        old.unlink()  # nothing is sealed with it any more
        async with served(settings) as client:
            assert await sends(client) == "sent"
            shown = (await client.get("/v1/channels/one")).body["settings"]
            assert shown["secret"] == "********"
    assert await rotate_secrets(settings) == Rotated(0, 0)


async def test_killed_between_the_files_and_the_rows_every_secret_opens(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    with FakeService() as receiver:
        async with served(settings) as client:
            await write_channels(client, receiver.url)
        renew_key(settings.data_dir / "secret.key")
        renew_key(settings.data_dir / "secret.key")
        async with served(settings) as client:
            assert await sends(client) == "sent"
    assert await rotate_secrets(settings) == Rotated(2, 4)


@pytest.mark.postgres
async def test_on_postgresql_it_is_done_while_servers_run(
    tmp_path: Path, postgres_database: Any
) -> None:
    url = postgres_database()
    first = make_settings(tmp_path, url)
    second = make_settings(
        tmp_path, url, secret_key=new_key(), secret_keys_old=_key_of(first) + ", " + new_key()
    )
    with FakeService() as receiver:
        async with served(first) as client:
            await write_channels(client, receiver.url)
        async with served(second) as client:
            assert await sends(client) == "sent"
            assert await rotated_by_command(second, url) == {"channels": 2, "secrets": 4}
            assert await sends(client) == "sent"
            changed = await client.call("PATCH", "/v1/channels/one", {"concurrency": 2})
            assert changed.status == 200
    alone = make_settings(tmp_path, url, secret_key=_key_of(second))
    with FakeService() as receiver:
        async with served(alone) as client:
            body = {"settings": {"url": receiver.url}}
            assert (await client.call("PATCH", "/v1/channels/one", body)).status == 200
            assert await sends(client) == "sent"


async def test_a_secret_that_opens_with_no_key_stops_all_of_it(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    async with served(settings) as client:
        await write_channels(client, "https://example.org/")
    (settings.data_dir / "secret.key").write_text(new_key())
    with pytest.raises(ConfigurationError, match=r"Nothing was changed\. Channel 'one'"):
        await rotate_secrets(settings)


@pytest.mark.parametrize("values", [{"secret_key": new_key()}, {"database_url": "postgres://x/y"}])
async def test_a_key_that_stands_in_a_setting_is_changed_there(
    tmp_path: Path, values: dict[str, str]
) -> None:
    settings = make_settings(tmp_path, **({"secret_key": new_key()} | values))
    with pytest.raises(ConfigurationError, match="without --new-key"):
        await rotate_secrets(settings, new_key=True)


def test_an_empty_database_has_nothing_to_seal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALMENARA_DATA_DIR", str(tmp_path / "data"))
    assert run(["rotate-secrets"]) != 0
    assert "almenara migrate" in capsys.readouterr().err
    assert run(["migrate"]) == 0
    capsys.readouterr()
    assert run(["rotate-secrets"]) == 0
    assert "already" in capsys.readouterr().out
    assert run(["rotate-secrets", "--new-key", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"channels": 0, "secrets": 0}


def test_an_older_key_that_is_none_is_refused(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, secret_key=new_key(), secret_keys_old="short")
    with pytest.raises(ConfigurationError, match="ALMENARA_SECRET_KEYS_OLD is not 32 bytes"):
        open_vault(settings)


def test_a_value_that_names_no_key_opens_with_any() -> None:
    """As values were sealed before keys had names."""
    old, new = os.urandom(32), os.urandom(32)
    sealed = Vault(old).seal({"token": SECRET}, {"token"}, place="channel")
    sealed["token"]["$sealed"] = "v1." + sealed["token"]["$sealed"].rpartition(".")[2]
    both = Vault(new, old)
    assert both.open(sealed, place="channel") == {"token": SECRET}
    assert not both.is_newest(sealed["token"])
    with pytest.raises(ConfigurationError):
        Vault(new).open(sealed, place="channel")


def _key_of(settings: Settings) -> str:
    assert settings.secret_key is not None
    return settings.secret_key.get_secret_value()
