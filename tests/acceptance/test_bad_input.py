"""What bad input gets: a problem document that names the field, and nothing is stored.

Every table runs over both databases with the same expectations, so both answer alike.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.json_values import json_values
from tests.serving import Answer, Client

JSON = {"Content-Type": "application/json"}
LIMIT = 262_144


@dataclass
class Bad:
    """One request that must be refused, and how."""

    body: bytes
    status: int
    code: str
    #: The field that must be named; ``None``: there is none to name.
    field: str | None = None


def member(text: str) -> bytes:
    """A message with one member more, as it is written."""
    return f'{{"topic": "hello", "description": "x", {text}}}'.encode()


def nested(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    inside = "1" if opening != "[" else ""
    return member(f'"data": {{"a": {opening * levels}{inside}{closing * levels}}}')


def invalid(body: bytes) -> Bad:
    return Bad(body, 400, "invalid_json")


def refused(body: bytes, field: str) -> Bad:
    return Bad(body, 422, "invalid_input", field)


UNREADABLE = [
    invalid(b"{"),
    invalid(b"{}{}"),
    invalid(b"topic=hello"),
    invalid(b'{"topic": "hello", }'),
    invalid(b"{'topic': 'hello'}"),
    invalid(b'{"topic": "hello", "topic": "hello", "description": "x"}'),
    invalid(member('"data": {"a": 1, "a": 2}')),
    invalid(member('"data": {"a": NaN}')),
    invalid(member('"data": {"a": Infinity}')),
    invalid(member('"data": {"a": -Infinity}')),
    invalid(member(f'"data": {{"a": {"9" * 5_000}}}')),
    invalid(member('"data": {"a": 01}')),
    invalid(nested(100_000)),
    invalid(nested(40_000, '{"a":', "}")),
    invalid(member('"title": "t"').decode().encode("utf-16")),
    invalid(b"\xef\xbb\xbf" + member('"title": "t"')),
    invalid(member('"title": "t"')[:-2] + b'\xff"}'),
    invalid(member('"title": "a\nb"')),
    refused(b"", ""),
    refused(b"[]", ""),
    refused(b"null", ""),
    refused(b'"hello"', ""),
    refused(b"7", ""),
]

VALUES = [
    refused(member('"data": {"a": 1e999}'), "data.a"),
    refused(member('"data": {"a": -1e999}'), "data.a"),
    refused(member('"data": {"a": 9007199254740992}'), "data.a"),
    refused(member('"data": {"a": [0, -9007199254740993]}'), "data.a.1"),
    refused(member('"priority": 2147483648'), "priority"),
    refused(member('"priority": 9223372036854775808'), "priority"),
    refused(member(f'"metadata": {{"a": {"9" * 400}}}'), "metadata.a"),
    refused(member('"title": "\\ud800"'), "title"),
    refused(member('"reference": "a\\udfffb"'), "reference"),
    refused(member('"data": {"a": {"b": "\\ud83d x"}}'), "data.a.b"),
    refused(member('"data": {"\\ud800": 1}'), "data"),
    refused(member('"tags": ["a", "\\u0000"]'), "tags.1"),
    refused(member('"title": "a\\u0000b"'), "title"),
    refused(member('"metadata": {"a": "\\u0000"}'), "metadata.a"),
    refused(member('"metadata": {"a": {"b\\u0000": 1}}'), "metadata.a"),
    refused(member('"\\u0000": 1'), ""),
    refused(nested(32), "data.a" + ".0" * 29),
    refused(nested(500), "data.a" + ".0" * 29),
    refused(nested(33, '{"a":', "}"), "data" + ".a" * 30),
    refused(member(f'"data": {{"a": [{", ".join("1" * 1_001)}]}}'), "data.a.996"),
    refused(member(f'"data": {json.dumps(dict.fromkeys(map(str, range(1_001)), 1))}'), "data.997"),
    refused(b'{"topic": "hello", "description": ""}', "description"),
    refused(b'{"topic": "hello", "description": " \\n\\t\\u2003"}', "description"),
    refused(b'{"topic": "hello"}', "description"),
    refused(b'{"description": "x"}', "topic"),
    refused(b'{"topic": null, "channel": null, "description": "x"}', "topic"),
    refused(b'{"topic": "", "description": "x"}', "topic"),
    refused(b'{"topic": "' + b"a" * 65 + b'", "description": "x"}', "topic"),
    Bad(b'{"topic": "hallo", "description": "x"}', 422, "topic_not_found", "topic"),
    Bad(b'{"topic": " ", "description": "x"}', 422, "topic_not_found", "topic"),
    Bad(member('"channel": "lag"'), 422, "channel_not_found", "channel"),
    refused(member('"colour": "red"'), "colour"),
    refused(member('"body": 1'), "body"),
    refused(member('"id": "7"'), "id"),
    refused(member(f'"{"k" * 2_000}": 1'), "k" * 64),
    refused(member('"\\u00e9": 1'), "\\xe9"),
]

#: Wrong types and sizes for every field; the field itself is what must be named, or a part of it.
FIELDS: dict[str, list[Any]] = {
    "topic": [7, True, ["hello"], {}],
    "channel": [7, "", "a" * 65, ["log"]],
    "title": [7, "", "t" * 256, []],
    "description": [7, None, ["x"]],
    "format": ["rtf", "TEXT", 1, None],
    "priority": [0, 6, "3", 2.5, True, None],
    "tags": ["vip", [1], [""], ["t" * 65], ["t"] * 33, {}, None],
    "data": [[], "x", 1, None],
    "to": ["a@example.com", [1], [""], ["t" * 321], ["t"] * 101, None],
    "reference": [7, "", "r" * 256],
    "metadata": [[], "x", 1, None],
    "send_at": [7, "soon", [], True],
}

HEADERS: list[tuple[dict[str, str], int]] = [
    ({"Content-Type": ""}, 415),
    ({"Content-Type": "text/plain"}, 415),
    ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ({"Content-Type": "application/jsonp"}, 415),
    ({"Content-Type": "nonsense"}, 415),
    ({"Content-Type": "application/json; charset=latin-1"}, 415),
    ({"Content-Type": "application/json; charset=utf-16"}, 415),
    (JSON | {"Content-Encoding": "gzip"}, 415),
    (JSON | {"Content-Encoding": "br"}, 415),
    ({"Content-Type": 'APPLICATION/JSON; charset="UTF-8"'}, 202),
    ({"Content-Type": "application/cloudevents+json"}, 202),
    (JSON | {"Content-Encoding": "identity"}, 202),
]

METHODS: list[tuple[str, str, str]] = [
    ("PUT", "/v1/messages/batch", "POST"),
    ("PUT", "/v1/messages", "GET POST"),
    ("DELETE", "/v1/messages/x", "GET"),
    ("GET", "/v1/messages/x/cancel", "POST"),
    ("DELETE", "/v1/topics", "GET POST"),
    ("POST", "/v1/topics/hello", "DELETE GET PATCH PUT"),
    ("PATCH", "/v1/channels", "GET POST"),
    ("POST", "/healthz", "GET"),
    ("TRACE", "/v1/plugins", "GET"),
    ("QUERY", "/openapi.json", "GET"),
]


def check(answer: Answer, status: int, code: str, field: str | None = None) -> None:
    """A refusal has every member of a problem document, and names the field."""
    assert (answer.status, answer.body["code"]) == (status, code), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.body
    assert body.keys() == {"type", "title", "status", "detail", "code", "errors"}
    assert body["type"] == f"urn:almenara:problem:{code}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"].endswith((".", "?")) or field is not None
    if field is not None:
        assert [one["field"] for one in body["errors"]] == [field], answer.text
        assert all(one["code"] and one["message"] for one in body["errors"])
    assert len(answer.text) < 1_500


async def send(client: Client, body: bytes, path: str = "/v1/messages") -> Answer:
    return await client.post(path, data=body, headers=JSON)


async def stored(client: Client) -> int:
    return len((await client.get("/v1/messages?limit=250")).body["data"])


async def test_what_cannot_be_read_is_refused(client: Client) -> None:
    for bad in UNREADABLE:
        for path in ("/v1/messages", "/v1/topics/hello/messages", "/v1/messages/batch"):
            check(await send(client, bad.body, path), bad.status, bad.code, bad.field)
    assert await stored(client) == 0


async def test_what_cannot_be_stored_as_it_is_is_refused(client: Client) -> None:
    for bad in VALUES:
        check(await send(client, bad.body), bad.status, bad.code, bad.field)
    assert await stored(client) == 0
    # What is just allowed is taken.
    for body in (nested(31), nested(30, '{"a":', "}"), member('"data": {"a": 9007199254740991}')):
        assert (await send(client, body)).status == 202


async def test_a_wrong_type_or_size_is_named_for_every_field(client: Client) -> None:
    for field, values in FIELDS.items():
        for value in values:
            body = {"topic": "hello", "description": "x"} | {field: value}
            answer = await client.post("/v1/messages", body)
            [error] = answer.body["errors"]
            assert error["field"].split(".")[0] == field, (field, value)
            check(answer, 422, "invalid_input", error["field"])
    assert await stored(client) == 0


async def test_every_mistake_is_named_at_once_up_to_a_bound(client: Client) -> None:
    body = {"description": 7, "priority": 9, "to": "x", "colour": 1}
    answer = await client.post("/v1/messages", body)
    named = {one["field"] for one in answer.body["errors"]}
    assert named == {"description", "priority", "to", "colour"}
    answer = await client.post("/v1/messages", {f"field{number}": 1 for number in range(900)})
    assert (answer.status, len(answer.body["errors"])) == (422, 50)


async def test_only_plain_json_is_read(client: Client) -> None:
    body = member('"title": "t"')
    for headers, status in HEADERS:
        skipped = ["Content-Type"] if headers.get("Content-Type") == "" else []
        given = {name: value for name, value in headers.items() if value}
        answer = await client.post(
            "/v1/messages", data=body, headers=given, skip_auto_headers=skipped
        )
        if status == 202:
            assert answer.status == 202, headers
        else:
            check(answer, status, "unsupported_media_type")
    assert await stored(client) == 3


async def test_a_body_over_the_limit_is_refused_however_it_is_sent(client: Client) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        head, rest = body_of(size)[:10], body_of(size)[10:]
        yield head
        for at in range(0, len(rest), 50_000):
            yield rest[at : at + 50_000]

    def body_of(size: int) -> bytes:
        frame = len(member('"metadata": {"a": ""}'))
        return member(f'"metadata": {{"a": "{"m" * (size - frame)}"}}')

    assert len(body_of(LIMIT)) == LIMIT
    assert (await send(client, body_of(LIMIT))).status == 202
    chunked = await client.post("/v1/messages", data=chunks(LIMIT), headers=JSON)
    assert chunked.status == 202
    check(await send(client, body_of(LIMIT + 1)), 413, "body_too_large")
    chunked = await client.post("/v1/messages", data=chunks(LIMIT + 1), headers=JSON)
    check(chunked, 413, "body_too_large")
    assert await stored(client) == 2


async def test_a_wrong_method_is_answered_with_those_that_are_allowed(client: Client) -> None:
    for method, path, allowed in METHODS:
        answer = await client.call(method, path)
        check(answer, 405, "method_not_allowed")
        assert sorted(answer.headers["Allow"].split(", ")) == allowed.split(), path


async def test_an_address_with_nothing_behind_it_is_not_found(client: Client) -> None:
    for path in (
        "/nowhere",
        "/v1",
        "/v1/message",
        "/v1/messages/x/y/z",
        "/v2/messages",
        "/%00",
        "/v1/messages/",
    ):
        check(await client.get(path), 404, "not_found")


async def test_a_name_that_cannot_be_one_is_refused(client: Client) -> None:
    for kind in ("topics", "channels"):
        for method in ("GET", "DELETE"):
            check(await client.call(method, f"/v1/{kind}/%00"), 422, "invalid_input", "name")
            check(await client.call(method, f"/v1/{kind}/{'a' * 65}"), 422, "invalid_input", "name")
            check(await client.call(method, f"/v1/{kind}/%ff"), 404, "not_found")
    check(await client.post("/v1/channels/a%00/test"), 422, "invalid_input", "name")
    answer = await client.post("/v1/topics/a%00/messages", {"description": "x"})
    check(answer, 422, "invalid_input", "name")


TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
ANYTHING = json_values(st.none() | st.booleans() | NUMBERS | TEXT, TEXT, max_leaves=12)
OBJECTS = st.dictionaries(TEXT, ANYTHING, max_size=4)
RIGHT = st.fixed_dictionaries(
    {"description": st.text(min_size=1, max_size=99), "topic": st.just("hello")},
    optional={
        "title": st.text(min_size=1, max_size=40),
        "format": st.sampled_from(["text", "markdown", "html"]),
        "priority": st.integers(1, 5),
        "tags": st.lists(st.text(min_size=1, max_size=9), max_size=3),
        "data": OBJECTS,
        "reference": st.text(min_size=1, max_size=40),
        "metadata": OBJECTS,
    },
)
ALMOST_RIGHT = st.builds(
    lambda right, name, value: right | {name: value},
    RIGHT,
    st.sampled_from([*FIELDS, "colour"]),
    ANYTHING,
)


@hypothesis_settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=RIGHT | ALMOST_RIGHT | ANYTHING)
async def test_whatever_is_sent_is_refused_or_comes_back_as_it_was(
    client: Client, body: Any
) -> None:
    text = json.dumps(body)
    answer = await send(client, text.encode())
    assert answer.status in {202, 400, 422}, answer.text
    if answer.status == 202:
        story = (await client.get(f"/v1/messages/{answer.body['id']}")).body
        # What was written, as a reader of JSON reads it.
        for name, value in as_doubles(json.loads(text)).items():
            if name not in {"channel", "send_at"}:
                assert as_doubles(story[name]) == value


def as_doubles(value: Any) -> Any:
    """PostgreSQL writes 1e300 as 301 digits: the same number for JSON, but not for Python."""
    if isinstance(value, dict):
        return {key: as_doubles(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_doubles(item) for item in value]
    return float(value) if type(value) is int else value
