"""A channel's settings: checked against the plugin's, secrets never shown, never in the clear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from almenara.settings import Settings
from tests.serving import Client, served

CANARY = "canary-3f9b1c77"
OTHER = "canary-00d2ee41"

#: Says in its receipt what it was built with; a secret would be masked, so it is written backwards.
SOURCE = """
from typing import Any
from pydantic import SecretStr, field_validator
from almenara import PluginSettings

class Gate:
    class Settings(PluginSettings):
        host: str
        port: int = 25
        token: SecretStr
        headers: dict[str, SecretStr] = {}
        extra: dict[str, Any] = {}

    def __init__(self, settings):
        self.settings = settings

    def send_message(self, message, background_tasks):
        return f"{self.settings.host}:{self.settings.port} " + self.clear()[::-1]

    def clear(self):
        return self.settings.token.get_secret_value()

class Raises:
    class Settings(PluginSettings):
        token: SecretStr

        @field_validator("token")
        @classmethod
        def check(cls, value):
            raise RuntimeError("no " + value.get_secret_value())

    def __init__(self, settings): ...

    def send_message(self, message, background_tasks): ...
"""

PATH = "/v1/channels/gate"
GOOD: dict[str, Any] = {"host": "mail.example", "token": CANARY}


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    directory = settings.plugins_dir / "gate"
    directory.mkdir(parents=True)
    (directory / "gate.py").write_text(SOURCE)
    async with served(settings) as one:
        yield one


async def write(client: Client, method: str = "PUT", **settings: Any) -> Any:
    body = {"settings": settings} | ({} if method == "PATCH" else {"plugin": "Gate"})
    return await client.call(method, PATH, body)


async def sent_with(client: Client) -> str:
    """Send through the channel, and return what its plugin was built with."""
    story = (await client.post(f"{PATH}/test")).body
    [delivery] = story["deliveries"]
    reference: str = delivery["reference"]
    return reference


def mistakes(answer: Any) -> dict[str, str]:
    return {one["field"]: one["code"] for one in answer.body["errors"]}


async def test_each_wrong_setting_is_named_and_no_value_is_shown(client: Client) -> None:
    refused = await write(client, host=7, port="no port", tokn=CANARY, token=[CANARY])
    assert (refused.status, refused.body["code"]) == (422, "invalid_input")
    assert mistakes(refused) == {
        "settings.tokn": "extra_forbidden",
        "settings.host": "string_type",
        "settings.port": "int_parsing",
        "settings.token": "string_type",
    }
    assert "did you mean token" in refused.body["detail"]
    assert "no port" not in refused.text
    assert CANARY not in refused.text
    assert (await client.get(PATH)).status == 404


async def test_a_plugin_without_settings_takes_none(client: Client) -> None:
    body = {"name": "out", "plugin": "Log", "settings": {"level": "info"}}
    refused = await client.post("/v1/channels", body)
    assert (refused.status, mistakes(refused)) == (422, {"settings.level": "extra_forbidden"})


async def test_a_validator_that_raises_anything_is_the_plugins_breakage(client: Client) -> None:
    body = {"name": "out", "plugin": "Raises", "settings": {"token": CANARY}}
    refused = await client.post("/v1/channels", body)
    assert (refused.status, refused.body["code"]) == (422, "plugin_broken")
    assert [one["field"] for one in refused.body["errors"]] == ["plugin"]
    assert CANARY not in refused.text


async def test_a_required_setting_that_is_missing_is_a_warning(client: Client) -> None:
    created = await write(client, host="mail.example")
    assert created.status == 201
    [warning] = created.body["warnings"]
    assert "settings.token" in warning
    assert "GATE_TOKEN" in warning


async def test_secrets_are_masked_in_every_answer_and_arrive_in_clear(client: Client) -> None:
    created = await write(client, **GOOD, headers={"x-key": OTHER})
    masked = {"host": "mail.example", "token": "********", "headers": "********"}
    assert created.body["settings"] == masked
    answers = [
        created,
        await client.get(PATH),
        await client.get("/v1/channels"),
        await client.call("PATCH", PATH, {"enabled": True}),
        await client.post(f"{PATH}/test"),
        await client.get("/v1/messages"),
    ]
    for answer in answers:
        assert answer.status < 300
        assert CANARY not in answer.text
        assert OTHER not in answer.text
    assert (await client.get(PATH)).body["settings"] == masked
    assert await sent_with(client) == f"mail.example:25 {CANARY[::-1]}"


async def test_no_secret_stands_in_the_database_in_clear(
    client: Client, settings: Settings
) -> None:
    await write(client, **GOOD, headers={"x-key": OTHER})
    await write(client, "PATCH", token=OTHER)
    stored = await asyncio.to_thread(everything_stored, settings)
    assert b"mail.example" in stored
    assert CANARY.encode() not in stored
    assert OTHER.encode() not in stored


async def test_a_secret_written_as_its_mask_stays_as_it_is(client: Client) -> None:
    await write(client, **GOOD)
    replaced = await write(client, host="other.example", token="********")
    assert replaced.status == 200
    assert replaced.body["settings"] == {"host": "other.example", "token": "********"}
    assert await sent_with(client) == f"other.example:25 {CANARY[::-1]}"
    patched = await write(client, "PATCH", token="********", port=26)
    assert patched.body["settings"] == replaced.body["settings"] | {"port": 26}
    assert await sent_with(client) == f"other.example:26 {CANARY[::-1]}"
    await write(client, "PATCH", token=OTHER)
    assert await sent_with(client) == f"other.example:26 {OTHER[::-1]}"


async def test_null_removes_a_setting_with_patch(client: Client) -> None:
    await write(client, **GOOD, port=26)
    patched = await write(client, "PATCH", port=None, token=None)
    assert patched.status == 200
    assert patched.body["settings"] == {"host": "mail.example"}
    assert len(patched.body["warnings"]) == 1
    # What was removed is not to be had back.
    refused = await write(client, "PATCH", token="********")
    assert mistakes(refused) == {"settings.token": "secret_missing"}


async def test_a_mask_keeps_nothing_where_no_secret_is_stored(client: Client) -> None:
    refused = await write(client, host="mail.example", token="********")
    assert (refused.status, mistakes(refused)) == (422, {"settings.token": "secret_missing"})
    assert (await client.get(PATH)).status == 404


async def test_a_secret_does_not_come_out_through_another_plugin(client: Client) -> None:
    await write(client, **GOOD)
    body = {"plugin": "Webhook", "settings": {"url": "********"}}
    refused = await client.call("PUT", PATH, body)
    assert refused.status == 422
    refused = await client.call("PATCH", PATH, {"plugin": "Log"})
    assert mistakes(refused) == {
        "settings.host": "extra_forbidden",
        "settings.token": "extra_forbidden",
    }
    assert await sent_with(client) == f"mail.example:25 {CANARY[::-1]}"


async def test_a_sealed_value_cannot_be_written(client: Client) -> None:
    refused = await write(client, **GOOD, extra={"$sealed": "v1.AAAA"})
    assert (refused.status, mistakes(refused)) == (422, {"settings.extra": "value_not_allowed"})


async def test_secrets_are_kept_over_a_restart_but_not_without_their_key(
    settings: Settings,
) -> None:
    directory = settings.plugins_dir / "gate"
    directory.mkdir(parents=True)
    (directory / "gate.py").write_text(SOURCE)
    async with served(settings) as client:
        await write(client, **GOOD)
    async with served(settings) as client:
        assert await sent_with(client) == f"mail.example:25 {CANARY[::-1]}"
    (settings.data_dir / "secret.key").unlink(missing_ok=True)
    key = {"secret_key": "A" * 43 + "="}
    other = Settings.model_validate(settings.model_dump(exclude_none=True) | key)
    async with served(other) as client:
        refused = await write(client, "PATCH", port=26)
        assert (refused.status, refused.body["code"]) == (500, "configuration_error")
        assert "'token'" in refused.body["detail"]
        # As the error says: write the secret anew.
        assert (await write(client, "PATCH", token=OTHER)).status == 200
        assert await sent_with(client) == f"mail.example:25 {OTHER[::-1]}"


def everything_stored(settings: Settings) -> bytes:
    """Every byte of the SQLite files, or every row of the PostgreSQL tables."""
    if settings.database_url is None:
        files = settings.data_dir.glob("almenara.sqlite3*")
        return b"".join(Path(file).read_bytes() for file in files)
    return asyncio.run(_every_row(settings.database_url.get_secret_value()))


async def _every_row(url: str) -> bytes:
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )
        rows = [
            await connection.fetch(f"SELECT t::text FROM {one['table_name']} t") for one in tables
        ]
    finally:
        await connection.close()
    return "\n".join(row["t"] for table in rows for row in table).encode()
