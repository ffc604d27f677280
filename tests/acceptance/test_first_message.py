"""The first message of a new server."""

from __future__ import annotations

from tests.serving import Client


async def test_a_new_server_sends_a_message_on_the_topic_hello(client: Client) -> None:
    accepted = await client.post("/v1/messages", {"topic": "Hello", "description": "It works"})
    assert accepted.status == 202
    assert accepted.headers["Location"] == f"/v1/messages/{accepted.body['id']}"
    story = await client.final(accepted.body["id"])
    assert story["status"] == "sent"
    assert [one["outcome"] for one in story["deliveries"][0]["attempts"]] == ["sent"]
