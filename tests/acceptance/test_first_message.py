"""The first message of a new server."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from almenara.app import running
from almenara.errors import ConfigurationError
from almenara.migrations import is_empty, migrate
from almenara.sending import opened
from almenara.settings import Settings
from tests.serving import Client, served


async def test_a_new_server_sends_a_message_on_the_topic_hello(client: Client) -> None:
    accepted = await client.post("/v1/messages", {"topic": "Hello", "description": "It works"})
    assert accepted.status == 202
    assert accepted.headers["Location"] == f"/v1/messages/{accepted.body['id']}"
    story = await client.final(accepted.body["id"])
    assert story["status"] == "sent"
    assert [one["outcome"] for one in story["deliveries"][0]["attempts"]] == ["sent"]


async def test_a_database_that_was_only_migrated_gets_the_topic_hello_too(
    settings: Settings,
) -> None:
    async with opened(settings) as database:
        await migrate(database)
    async with served(settings) as client:
        assert (await client.get("/v1/topics/hello")).status == 200


async def test_a_topic_that_was_deleted_does_not_come_back(settings: Settings) -> None:
    async with served(settings) as client:
        assert (await client.call("DELETE", "/v1/topics/hello")).status == 204
    async with served(settings) as client:
        assert (await client.get("/v1/topics/hello")).status == 404


async def test_a_start_that_fails_for_want_of_a_key_leaves_the_database_empty(
    settings: Settings,
) -> None:
    keyless = settings.model_copy(update={"secret_key": None})
    if settings.uses_sqlite:
        keyless = settings.model_copy(update={"secret_key": SecretStr("short")})
    with pytest.raises(ConfigurationError, match="32 bytes in base64"):
        async with running(keyless):
            pass
    async with opened(settings) as database:
        assert await is_empty(database)
