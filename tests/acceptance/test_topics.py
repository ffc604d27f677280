"""Topics over HTTP: each change is effective when it is answered; over both databases."""

from __future__ import annotations

import asyncio
from typing import Any

from almenara.models import new_id
from tests.serving import Client


async def channels(client: Client, *names: str) -> None:
    for name in names:
        created = await client.post("/v1/channels", {"name": name, "plugin": "Log"})
        assert created.status == 201, created.text


async def topic(client: Client, name: str, *names: str, **fields: Any) -> Any:
    body = {"name": name, "channels": list(names), **fields}
    created = await client.post("/v1/topics", body)
    assert created.status == 201, created.text
    return created


async def tell(client: Client, name: str) -> Any:
    return await client.post("/v1/messages", {"topic": name, "description": "hello"})


def named(answer: Any) -> list[str]:
    """The fields that a refusal names."""
    return [one["field"] for one in answer.body["errors"]]


async def test_a_topic_is_created_shown_and_listed(client: Client) -> None:
    created = await topic(client, "sales", "log")
    assert created.headers["Location"] == "/v1/topics/sales"
    assert created.body["channels"] == [{"channel": "log"}]
    assert (created.body["strategy"], created.body["enabled"]) == ("all", True)
    assert (await client.get("/v1/topics/sales")).body == created.body
    listed = (await client.get("/v1/topics")).body
    assert [one["name"] for one in listed["data"]] == ["hello", "sales"]
    assert listed["data"][1] == created.body
    assert listed["next_cursor"] is None


async def test_names_are_stored_in_lower_case_and_found_in_any(client: Client) -> None:
    created = await topic(client, " Sales.EU_1-x ", "LOG")
    assert created.body["name"] == "sales.eu_1-x"
    assert created.body["channels"] == [{"channel": "log"}]
    assert (await client.get("/v1/topics/SALES.eu_1-X")).status == 200
    assert (await tell(client, "Sales.EU_1-X")).body["topic"] == "sales.eu_1-x"


async def test_a_bad_name_is_refused_and_named(client: Client) -> None:
    for name in ("", "a b", "-a", ".a", "ä", "a/b", "a" * 65, "a\x00"):
        refused = await client.post("/v1/topics", {"name": name, "channels": []})
        assert (refused.status, named(refused)) == (422, ["name"]), name
    for name in ("a%20b", "-a", "%C3%A4", "a" * 65, "a%00"):
        refused = await client.call("PUT", f"/v1/topics/{name}", {"channels": []})
        assert (refused.status, named(refused)) == (422, ["name"]), name
    assert len((await client.get("/v1/topics")).body["data"]) == 1


async def test_put_creates_then_replaces_the_whole(client: Client) -> None:
    await channels(client, "first")
    created = await client.call(
        "PUT", "/v1/topics/Sales", {"channels": ["log", "first"], "enabled": False}
    )
    assert (created.status, created.body["name"]) == (201, "sales")
    replaced = await client.call("PUT", "/v1/topics/sales", {"channel": "first"})
    assert replaced.status == 200
    assert replaced.body["channels"] == [{"channel": "first"}]
    assert replaced.body["enabled"] is True
    assert replaced.body["created_at"] == created.body["created_at"]
    assert (await client.get("/v1/topics/sales")).body == replaced.body


async def test_patch_changes_only_what_is_given(client: Client) -> None:
    await channels(client, "first")
    await topic(client, "sales", "log", "first")
    disabled = await client.call("PATCH", "/v1/topics/SALES", {"enabled": False})
    assert disabled.status == 200
    assert disabled.body["enabled"] is False
    assert disabled.body["channels"] == [{"channel": "log"}, {"channel": "first"}]
    changed = await client.call("PATCH", "/v1/topics/sales", {"channels": ["first"]})
    assert changed.body["channels"] == [{"channel": "first"}]
    assert changed.body["enabled"] is False
    nothing = await client.call("PATCH", "/v1/topics/sales", {})
    assert nothing.body["channels"] == [{"channel": "first"}]


async def test_changes_at_the_same_time_do_not_undo_each_other(client: Client) -> None:
    await topic(client, "sales")
    await asyncio.gather(
        client.call("PATCH", "/v1/topics/sales", {"channels": ["log"]}),
        client.call("PATCH", "/v1/topics/sales", {"enabled": False}),
        client.call("PATCH", "/v1/topics/sales", {"strategy": "all"}),
    )
    shown = (await client.get("/v1/topics/sales")).body
    assert (shown["channels"], shown["enabled"]) == ([{"channel": "log"}], False)


async def test_a_deleted_topic_is_gone_and_its_messages_stay(client: Client) -> None:
    await topic(client, "sales", "log")
    message = (await tell(client, "sales")).body
    deleted = await client.call("DELETE", "/v1/topics/Sales")
    assert (deleted.status, deleted.text) == (204, "")
    assert (await client.get("/v1/topics/sales")).status == 404
    assert (await tell(client, "sales")).body["code"] == "topic_not_found"
    story = await client.final(message["id"])
    assert (story["topic"], story["status"]) == ("sales", "sent")


async def test_a_topic_that_is_not_there_is_not_found(client: Client) -> None:
    for method, body in (("GET", None), ("PATCH", {"enabled": True}), ("DELETE", None)):
        answer = await client.call(method, "/v1/topics/nowhere", body)
        assert (answer.status, answer.body["code"]) == (404, "not_found"), method
        assert "'nowhere'" in answer.body["detail"]


async def test_a_name_that_is_taken_is_a_conflict_also_for_those_who_come_at_once(
    client: Client,
) -> None:
    body = {"name": "sales", "channels": ["log"]}
    answers = await asyncio.gather(*(client.post("/v1/topics", body) for _ in range(5)))
    assert sorted(one.status for one in answers) == [201, 409, 409, 409, 409]
    again = await client.post("/v1/topics", {"name": "SALES", "channels": []})
    assert (again.status, again.body["code"]) == (409, "topic_exists")
    assert (await client.get("/v1/topics/sales")).body["channels"] == [{"channel": "log"}]


async def test_a_message_fans_out_to_every_channel_in_order(client: Client) -> None:
    await channels(client, "a", "b", "c")
    await topic(client, "sales", "c", "a", "b")
    accepted = (await tell(client, "sales")).body
    assert [one["channel"] for one in accepted["deliveries"]] == ["c", "a", "b"]
    story = await client.final(accepted["id"])
    assert [(one["channel"], one["status"]) for one in story["deliveries"]] == [
        ("c", "sent"),
        ("a", "sent"),
        ("b", "sent"),
    ]
    assert story["status"] == "sent"


async def test_channels_may_be_written_as_objects_or_as_the_one(client: Client) -> None:
    await channels(client, "a")
    objects = {"name": "objects", "channels": [{"channel": "A"}, "log"]}
    created = await client.post("/v1/topics", objects)
    assert created.body["channels"] == [{"channel": "a"}, {"channel": "log"}]
    one = await client.post("/v1/topics", {"name": "one", "channel": "Log"})
    assert one.body["channels"] == [{"channel": "log"}]


WRONG_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "channels", "missing"),
    ({"channel": "log", "channels": ["log"]}, "channel", "not_both"),
    ({"channels": ["lag"]}, "channels.0", "channel_not_found"),
    ({"channel": "lag"}, "channels.0", "channel_not_found"),
    ({"channels": ["log", "LOG"]}, "channels.1", "channel_twice"),
    ({"channels": ["log", "a b"]}, "channels.1", "string_pattern_mismatch"),
    ({"channels": [7]}, "channels.0", "string_type"),
    ({"channels": [{"channel": "log", "when": 1}]}, "channels.0.when", "extra_forbidden"),
    ({"channels": [{}]}, "channels.0.channel", "missing"),
    ({"channels": [{"channel": "a b"}]}, "channels.0.channel", "string_pattern_mismatch"),
    ({"channels": [{"channel": "log", "condition": 7}]}, "channels.0.condition", "dict_type"),
    (
        {"channels": ["log", {"channel": "log", "condition": {"data": {"a": {"equals": []}}}}]},
        "channels.1.condition.data.a.equals",
        "invalid_condition",
    ),
    ({"channels": "log"}, "channels", "list_type"),
    ({"channels": ["log"] * 65}, "channels", "too_long"),
    ({"channels": [], "strategy": "some"}, "strategy", "literal_error"),
    ({"channels": [], "enabled": 1}, "enabled", "bool_type"),
    ({"channels": [], "colour": "red"}, "colour", "extra_forbidden"),
    ({"channels": [], "body": 1}, "body", "extra_forbidden"),
]


async def test_a_wrong_field_is_named(client: Client) -> None:
    for fields, field, code in WRONG_FIELDS:
        refused = await client.post("/v1/topics", {"name": "sales", **fields})
        assert refused.status == 422, fields
        [error] = refused.body["errors"]
        assert (error["field"], error["code"]) == (field, code), fields
    assert (await client.get("/v1/topics/sales")).status == 404


async def test_an_unknown_name_is_answered_with_the_nearest_ones(client: Client) -> None:
    refused = await client.post("/v1/topics", {"name": "sales", "channels": ["lag", "x", "log"]})
    assert named(refused) == ["channels.0", "channels.1"]
    assert refused.body["errors"][0]["message"].endswith("Did you mean log?")
    await topic(client, "sales", "log")
    refused = await tell(client, "Sails")
    assert (refused.status, refused.body["code"]) == (422, "topic_not_found")
    assert named(refused) == ["topic"]
    assert refused.body["detail"].endswith("Did you mean sales?")
    assert (await client.get("/v1/messages")).body["data"] == []


async def test_what_a_disabled_topic_was_told_is_stored_and_can_be_routed_later(
    client: Client,
) -> None:
    await topic(client, "sales", "log", enabled=False)
    accepted = await tell(client, "sales")
    assert (accepted.status, accepted.body["status"]) == (202, "no_route")
    assert accepted.body["deliveries"] == []
    resend = f"/v1/messages/{accepted.body['id']}/resend"
    still = await client.post(resend)
    assert (still.status, still.body["code"]) == (409, "no_route")
    await client.call("PATCH", "/v1/topics/sales", {"enabled": True})
    assert (await client.post(resend)).status == 202
    assert (await client.final(accepted.body["id"]))["status"] == "sent"


async def test_what_has_no_route_cannot_be_resent_when_its_topic_is_gone(client: Client) -> None:
    await topic(client, "sales")
    accepted = (await tell(client, "sales")).body
    assert accepted["status"] == "no_route"
    await client.call("DELETE", "/v1/topics/sales")
    refused = await client.post(f"/v1/messages/{accepted['id']}/resend")
    assert (refused.status, refused.body["code"]) == (409, "no_route")


async def test_a_topic_that_another_process_made_just_now_is_known(client: Client) -> None:
    """This process's table is as old as its last scan; before it refuses a name, it looks."""
    async with client.parts.database.transaction() as transaction:
        await transaction.execute(
            "INSERT INTO topic (id, name, strategy, enabled, created_at, updated_at)"
            " SELECT $1, 'fresh', 'all', enabled, created_at, updated_at FROM topic",
            new_id(),
        )
        await transaction.execute("UPDATE configuration SET revision = revision + 1")
    sent = await client.post("/v1/messages", {"topic": "fresh", "description": "Hi"})
    assert (sent.status, sent.body["status"]) == (202, "no_route")
