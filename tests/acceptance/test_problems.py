"""Errors that are not the caller's, and what the OpenAPI document says of all of them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from almenara.settings import Settings
from tests.serving import Answer, Client, served

PROBLEM = "application/problem+json"
MEMBERS = {"type", "title", "status", "detail", "code", "errors"}

#: Requests to every operation: the method, the address as documented, what stands in it, a body.
REQUESTS: list[tuple[str, str, dict[str, str], Any]] = [
    ("post", "/v1/messages", {}, {"topic": "hello", "description": "x"}),
    ("post", "/v1/messages", {}, {"topic": "nowhere", "description": "x"}),
    ("get", "/v1/messages", {}, None),
    ("get", "/v1/stream", {}, None),
    ("get", "/v1/stats", {}, None),
    ("post", "/v1/messages/explain", {}, {"topic": "hello", "description": "x"}),
    ("post", "/v1/messages/batch", {}, {"messages": [{}]}),
    ("post", "/v1/topics/{name}/messages", {"name": "hello"}, {"description": "x"}),
    ("post", "/v1/topics/{name}/messages/explain", {"name": "hello"}, {"description": "x"}),
    ("get", "/v1/messages/{id}", {"id": "x"}, None),
    ("get", "/v1/messages/{id}/attachments/{number}", {"id": "x", "number": 1}, None),
    ("post", "/v1/messages/{id}/cancel", {"id": "x"}, None),
    ("post", "/v1/messages/{id}/resend", {"id": "x"}, None),
    ("get", "/v1/deliveries", {}, None),
    ("get", "/v1/deliveries/{id}", {"id": "x"}, None),
    ("post", "/v1/deliveries/{id}/cancel", {"id": "x"}, None),
    ("post", "/v1/deliveries/{id}/release", {"id": "x"}, None),
    ("post", "/v1/deliveries/{id}/resend", {"id": "x"}, None),
    ("post", "/v1/replays", {}, {"topic": "hello"}),
    ("post", "/v1/replays", {}, {"topic": "hello", "status": "sent", "dry_run": True}),
    ("get", "/v1/replays", {}, None),
    ("get", "/v1/replays/{id}", {"id": "x"}, None),
    ("delete", "/v1/replays/{id}", {"id": "x"}, None),
    ("get", "/v1/topics", {}, None),
    ("post", "/v1/topics", {}, {"name": "hello", "channels": []}),
    ("get", "/v1/topics/{name}", {"name": "hello"}, None),
    ("put", "/v1/topics/{name}", {"name": "new"}, {"channels": []}),
    ("patch", "/v1/topics/{name}", {"name": "nowhere"}, {}),
    ("delete", "/v1/topics/{name}", {"name": "new"}, None),
    ("get", "/v1/channels", {}, None),
    ("post", "/v1/channels", {}, {"name": "log", "plugin": "Log"}),
    ("get", "/v1/channels/{name}", {"name": "log"}, None),
    ("put", "/v1/channels/{name}", {"name": "new"}, {"plugin": "Log"}),
    ("patch", "/v1/channels/{name}", {"name": "nowhere"}, {}),
    ("post", "/v1/channels/{name}/pause", {"name": "log"}, None),
    ("post", "/v1/channels/{name}/resume", {"name": "log"}, None),
    ("post", "/v1/channels/{name}/test", {"name": "nowhere"}, None),
    ("post", "/v1/channels/{name}/verify", {"name": "log"}, None),
    ("delete", "/v1/channels/{name}", {"name": "log"}, None),
    ("get", "/v1/plugins", {}, None),
    ("get", "/v1/workers", {}, None),
    ("get", "/v1/audit", {}, None),
    ("post", "/v1/backups", {}, None),
    ("get", "/healthz", {}, None),
    ("get", "/readyz", {}, None),
    ("get", "/metrics", {}, None),
]


@asynccontextmanager
async def without_table(client: Client, name: str) -> AsyncIterator[None]:
    """Take a table away for a while, as a mistake of ours would."""
    writer = client.parts.database.writer
    await writer.execute_query(f"ALTER TABLE {name} RENAME TO taken_away")
    try:
        yield
    finally:
        await writer.execute_query(f"ALTER TABLE taken_away RENAME TO {name}")


def check_unexpected(answer: Answer) -> None:
    assert (answer.status, answer.headers["Content-Type"]) == (500, PROBLEM)
    assert answer.body.keys() == MEMBERS
    assert (answer.body["code"], answer.body["errors"]) == ("internal_error", [])
    assert not re.search(r"traceback|select|insert|table|File \"", answer.text, re.IGNORECASE)
    # The server ends the connection, and says so, or the next request on it would be lost.
    assert answer.headers["Connection"] == "close"


async def test_the_unexpected_is_a_problem_that_tells_nothing_of_the_inside(
    client: Client,
) -> None:
    message = {"topic": "hello", "description": "x"}
    async with without_table(client, "attempt"):
        accepted = (await client.post("/v1/messages", message)).body
        check_unexpected(await client.get(f"/v1/messages/{accepted['id']}"))
    async with without_table(client, "message"):
        check_unexpected(await client.get("/v1/messages"))
        check_unexpected(await client.post("/v1/messages", message))
    assert (await client.get("/v1/messages")).status == 200
    assert (await client.post("/v1/messages", message)).status == 202


async def test_what_cannot_be_stored_is_not_accepted(client: Client) -> None:
    await client.parts.ledger.close()
    for method, path, body in (
        ("POST", "/v1/messages", {"topic": "hello", "description": "x"}),
        ("PUT", "/v1/topics/new", {"channels": []}),
        ("DELETE", "/v1/topics/hello", None),
    ):
        answer = await client.call(method, path, body)
        assert (answer.status, answer.body["code"]) == (503, "unavailable")
        assert answer.headers["Content-Type"] == PROBLEM
        assert int(answer.headers["Retry-After"]) >= 1
    batch = {"messages": [{"topic": "hello", "description": "x"}]}
    [item] = (await client.post("/v1/messages/batch", batch)).body["data"]
    assert (item["status"], item["problem"]["code"]) == (503, "unavailable")
    assert (await client.get("/v1/messages")).body["data"] == []


async def test_every_operation_documents_its_success_and_its_problems(client: Client) -> None:
    document = (await client.get("/openapi.json")).body
    schemas = document["components"]["schemas"]
    assert set(schemas["Problem"]["required"]) == MEMBERS
    assert "HTTPValidationError" not in schemas
    seen = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            seen.add((method, path))
            statuses = operation["responses"]
            assert any(status.startswith("2") for status in statuses), (method, path)
            for status, response in statuses.items():
                if status >= "400" and path != "/readyz":
                    schema = response["content"][PROBLEM]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Problem"}
                    assert list(response["content"]) == [PROBLEM]
            wanted = {"400", "413", "415", "422"} if "requestBody" in operation else set()
            assert wanted <= statuses.keys(), (method, path)
    assert seen == {(method, path) for method, path, _, _ in REQUESTS}
    assert set(re.findall(r'#/components/schemas/(\w+)"', str(document).replace("'", '"'))) <= (
        schemas.keys()
    )


async def test_every_answer_is_documented(client: Client) -> None:
    paths = (await client.get("/openapi.json")).body["paths"]
    # It would never come to its end.
    client.parts.stream.end()
    for method, path, names, body in REQUESTS:
        answer = await client.call(method.upper(), path.format(**names), body)
        documented = paths[path][method]["responses"]
        assert str(answer.status) in documented, (method, path, answer.status)
        kinds = list(documented[str(answer.status)].get("content", {}))
        assert kinds == ([answer.headers["Content-Type"]] if answer.text else []), (method, path)
        if answer.status >= 400:
            assert answer.body.keys() == MEMBERS


async def test_names_are_documented_as_they_may_be_written(settings: Settings) -> None:
    async with served(settings) as client:
        document = (await client.get("/openapi.json")).body
    name = document["components"]["schemas"]["TopicIn"]["properties"]["name"]
    for good in ("sales", "Sales", " a.b_c-1 "):
        assert re.search(name["pattern"], good), good
    for bad in ("", "a b", "-a", "ä", "a" * 65):
        assert not re.search(name["pattern"], bad), bad
