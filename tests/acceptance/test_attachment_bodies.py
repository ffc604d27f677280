"""Bodies with files: what is taken as JSON and as a form, and what is refused; both databases."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from almenara.api.attachment_bodies import LARGEST_TOGETHER
from tests.attached import a_file, stored
from tests.serving import Client


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"description": "x" * 300_000}, 413, "Without its attachments"),
        ({"message": "{"}, 422, "not valid JSON"),
        ({"message": "[1]"}, 422, "message"),
        (
            {"message": '{"description": "a", "tags": "b"}', "to": "c", "data": "[" * 9_000},
            422,
            "data",
        ),
        ({"message": '{"tags": 7}', "tags": "a"}, 422, "description"),
        ({"description": "a", "priority": "high"}, 422, "priority"),
        ({"description": "a", "none_such": "b"}, 422, "none_such"),
        ({"description": "a\x00b"}, 422, "NUL"),
        ({f"f{number}": "x" for number in range(80)}, 400, "Too many fields"),
    ],
)
async def test_a_form_is_held_to_what_json_is(
    client: Client, fields: dict[str, str], status: int, said: str
) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value)
    refused = await client.call("POST", "/v1/topics/hello/messages", data=form)
    assert (refused.status, said in refused.text) == (status, True), refused.text


async def test_a_form_without_its_boundary_is_refused(client: Client) -> None:
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        headers = {"Content-Type": kind}
        refused = await client.call("POST", "/v1/messages", data=b"--y\r\n", headers=headers)
        assert refused.status in {400, 422}
    refused = await client.call("POST", "/v1/messages", data=b"--y", headers=headers)
    assert refused.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("file", "field", "said"),
    [
        ({"name": "a"}, "attachments.0.content", "missing"),
        ({"content": ""}, "attachments.0.name", "missing"),
        (a_file("a/b"), "attachments.0.name", "Write a file's name, without a path."),
        (a_file("a\\b"), "attachments.0.name", "Write a file's name, without a path."),
        (a_file(".."), "attachments.0.name", "Write a file's name, without a path."),
        (a_file("a\r\nb"), "attachments.0.name", "Write a file's name, without a path."),
        (a_file("x" * 256), "attachments.0.name", "255"),
        (a_file(media_type="pdf"), "attachments.0.media_type", "match"),
        (a_file(media_type="a/b\r\nc: d"), "attachments.0.media_type", "match"),
        ({"name": "a", "content": "no base64!"}, "attachments.0.content", "in base64"),
        ({"name": "a", "content": 7}, "attachments.0.content", "bytes"),
        (a_file(url="x"), "attachments.0.url", "no field of this name"),
    ],
)
async def test_a_file_that_is_none_is_refused_and_named(
    client: Client, file: Any, field: str, said: str
) -> None:
    for padding in ("", "x" * 100_000):
        body = {"topic": "hello", "description": f"x{padding}", "attachments": [file]}
        refused = await client.post("/v1/messages", body)
        assert refused.status == 422
        [error] = refused.body["errors"]
        assert error["field"] == field
        assert said in error["message"] or said in error["code"], error


async def test_ten_mebibytes_together_are_taken_and_no_more(client: Client) -> None:
    half = b"x" * (LARGEST_TOGETHER // 2)
    body = {"topic": "hello", "description": "x", "attachments": [a_file("a", half)] * 2}
    accepted = await client.post("/v1/messages", body)
    assert accepted.status == 202, accepted.text
    assert await stored(client) == (1, 20, 1)
    more = body | {"attachments": [a_file("a", half), a_file("b", half + b"x")]}
    refused = await client.post("/v1/messages", more)
    assert (refused.status, refused.body["errors"][0]["code"]) == (422, "attachments_too_large")
    form = aiohttp.FormData()
    form.add_field("message", '{"topic": "hello", "description": "x"}')
    for name in "ab":
        form.add_field(name, io.BytesIO(half + b"x"), filename=name)
    refused = await client.call("POST", "/v1/messages", data=form)
    assert (refused.status, refused.body["errors"][0]["code"]) == (422, "attachments_too_large")
    many = body | {"attachments": [a_file()] * 21}
    assert (await client.post("/v1/messages", many)).status == 422
    huge = body | {"attachments": [a_file("a", half)] * 3}
    refused = await client.post("/v1/messages", huge)
    assert (refused.status, refused.body["code"]) == (413, "body_too_large")


async def test_a_text_may_not_be_as_large_as_a_file(client: Client) -> None:
    body = {"topic": "hello", "description": "x" * 300_000, "attachments": [a_file()]}
    refused = await client.post("/v1/messages", body)
    assert (refused.status, refused.body["code"]) == (413, "body_too_large")
    assert "Without its attachments" in refused.body["detail"]
    elsewhere = await client.post("/v1/topics", {"name": "x" * 300_000})
    assert elsewhere.status == 413
    chunked = json.dumps(body).encode()

    async def pieces() -> AsyncIterator[bytes]:
        yield chunked

    headers = {"Content-Type": "application/json"}
    refused = await client.call("POST", "/v1/messages", data=pieces(), headers=headers)
    assert (refused.status, refused.body["code"]) == (413, "body_too_large")
    small = json.dumps({"topic": "hello", "description": "in pieces"}).encode()

    async def small_pieces() -> AsyncIterator[bytes]:
        yield small

    accepted = await client.call("POST", "/v1/messages", data=small_pieces(), headers=headers)
    assert accepted.status == 202, accepted.text


async def test_a_large_body_that_is_no_json_is_refused(client: Client) -> None:
    headers = {"Content-Type": "application/json"}
    refused = await client.call("POST", "/v1/messages", data=b"x" * 100_000, headers=headers)
    assert (refused.status, refused.body["code"]) == (400, "invalid_json")
    headers = {"Content-Type": "text/plain"}
    refused = await client.call("POST", "/v1/messages", data=b"x" * 100_000, headers=headers)
    assert refused.status == 415
    refused = await client.post("/v1/messages", [1] * 50_000)
    assert refused.status == 422
