"""The table of attacks on tokens: each with the status and the challenge that it must get."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.serving import Client, make_settings, served
from tests.tokens import (
    ISSUER,
    SECRET,
    bearer,
    claims,
    private_key,
    public_pem,
    raw,
    token,
)

HS = {"alg": "HS256", "typ": "JWT"}


def now() -> int:
    return int(time.time())


def _flipped() -> str:
    text = token()
    return text[:-2] + ("A" if text[-2] != "A" else "B") + text[-1]


def _other_payload() -> str:
    header, _, signature = token().split(".")
    return ".".join((header, token(sub="admin").split(".")[1], signature))


def _deep(depth: int = 3000) -> str:
    return '{"a":' + "[" * depth + "]" * depth + "}"


def _text(**changes: str) -> str:
    """Write claims as JSON, with some of them as they are given."""
    fields = {name: json.dumps(value) for name, value in claims().items()} | changes
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"


#: Each is refused in the same words, whatever is wrong with it.
WRONG: dict[str, Any] = {
    "4 longer than 8 KiB": lambda: token(filler="x" * 9000),
    "4 six segments": lambda: token() + ".a.b.c",
    "4 two segments": lambda: token().rpartition(".")[0],
    "4 trailing dot": lambda: token().rpartition(".")[0] + ".",
    "4 not base64url": lambda: token().replace(".", ".+/", 1),
    "4 padding": lambda: token() + "=",
    "4 no token": lambda: "x",
    "4 not ASCII": lambda: "töken",
    "6 none": lambda: jwt.encode(claims(), None, algorithm="none"),
    "6 none, signed": lambda: raw({"alg": "none"}, claims()),
    "6 nOnE": lambda: raw({"alg": "nOnE"}, claims()),
    "6 no alg": lambda: raw({"typ": "JWT"}, claims()),
    "6 alg a number": lambda: raw({"alg": 256}, claims()),
    "6 alg a list": lambda: raw({"alg": ["HS256"]}, claims()),
    "6 HS384": lambda: token(key="k" * 48, algorithm="HS384"),
    "6 RS256 where a secret is shared": lambda: token(key=private_key("RS256"), algorithm="RS256"),
    "9 no exp": lambda: token(exp=None),
    "9 exp text": lambda: raw(HS, claims(exp="9999999999")),
    "9 exp NaN": lambda: raw(HS, _text(exp="NaN")),
    "9 exp 1e400": lambda: raw(HS, _text(exp="1e400")),
    "9 exp 10^400": lambda: raw(HS, _text(exp="1" + "0" * 400)),
    "9 exp list": lambda: raw(HS, claims(exp=[now() + 600])),
    "9 exp null": lambda: raw(HS, _text(exp="null")),
    "9 exp true": lambda: raw(HS, _text(exp="true")),
    "9 lives too long": lambda: token(exp=now() + 90_000),
    "9 no iat": lambda: token(iat=None),
    "10 nbf to come": lambda: token(nbf=now() + 120),
    "10 nbf text": lambda: raw(HS, claims(nbf="now")),
    "10 iat to come": lambda: token(iat=now() + 120),
    "11 no aud": lambda: token(aud=None),
    "11 aud wrong": lambda: token(aud="almenar"),
    "11 aud a number": lambda: raw(HS, claims(aud=1)),
    "11 aud of others": lambda: token(aud=["a", "b"]),
    "12 no iss": lambda: token(iss=None),
    "12 iss other": lambda: token(iss="https://evil.example"),
    "12 iss longer": lambda: token(iss=ISSUER + ".evil.example"),
    "12 iss shorter": lambda: token(iss=ISSUER[:-1]),
    "12 iss slash": lambda: token(iss=ISSUER + "/"),
    "12 iss case": lambda: token(iss=ISSUER.upper()),
    "12 iss list": lambda: raw(HS, claims(iss=[ISSUER])),
    "13 no sub": lambda: token(sub=None),
    "13 sub empty": lambda: token(sub=""),
    "13 sub long": lambda: token(sub="s" * 256),
    "13 sub NUL": lambda: token(sub="a\0b"),
    "13 sub newline": lambda: token(sub="a\nb"),
    "13 sub surrogate": lambda: raw(HS, _text(sub='"\\ud800"')),
    "13 sub a number": lambda: raw(HS, claims(sub=7)),
    "14 typ of another kind": lambda: token(header={"typ": "logout+jwt"}),
    "14 typ a list": lambda: raw({"alg": "HS256", "typ": ["JWT"]}, claims()),
    "18 kid a list": lambda: raw({**HS, "kid": ["a"]}, claims()),
    "18 kid 10 kB": lambda: raw({**HS, "kid": "k" * 5000}, claims()),
    "25 crit": lambda: raw({**HS, "crit": ["x"], "x": 1}, claims()),
    "25 b64": lambda: raw({**HS, "b64": False}, claims()),
    "26 JWE": lambda: "a.b.c.d.e",
    "26 zip": lambda: raw({**HS, "zip": "DEF"}, claims()),
    "27 a claim twice": lambda: raw(HS, '{"sub":"other",' + _text()[1:]),
    "27 deep": lambda: raw(HS, _deep()),
    "27 5,000 digits": lambda: raw(HS, _text(n="1" * 5000)),
    "27 no object": lambda: raw(HS, "[]"),
    "27 not UTF-8": lambda: raw(HS, "\ud800"),
    "28 flipped": _flipped,
    "28 shortened": lambda: token()[:-4],
    "28 of another payload": _other_payload,
    "28 of another secret": lambda: token(key=SECRET + "x"),
    "30 scope a number": lambda: raw(HS, claims(scope=1)),
    "topics no list": lambda: token(topics="sales"),
    "topics a bad pattern": lambda: token(topics=["sa*les"]),
    "topics a number": lambda: token(topics=[1]),
}

RIGHT: dict[str, Any] = {
    "5 HS256": token,
    "8 expired within the leeway": lambda: token(exp=now() - 1, iat=now() - 100),
    "10 iat a moment ahead": lambda: token(iat=int(time.time()) + 15),
    "11 aud of several": lambda: token(aud=["other", "almenara"]),
    "14 at+jwt": lambda: token(header={"typ": "application/at+jwt"}),
    "14 no typ": lambda: raw({"alg": "HS256"}, claims()),
    "24 jku and its kin are not looked at": lambda: raw(
        {**HS, "jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/", "jwk": {}}, claims()
    ),
    "30 scope a list": lambda: token(scope=["messages:read"]),
    "18 kid of a written key": lambda: token(header={"kid": "../../etc/passwd"}),
}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    settings = make_settings(tmp_path, jwt_issuer=ISSUER, jwt_secret=SECRET)
    async with served(settings) as served_client:
        yield served_client


async def test_what_is_wrong_with_a_token_is_refused_and_not_told(client: Client) -> None:
    answers = {}
    for name, make in WRONG.items():
        answer = await client.get("/v1/messages", headers=bearer(make()))
        answers[name] = (answer.status, answer.body["code"], answer.headers["WWW-Authenticate"])
        assert answer.body["detail"] == "The token is not one that is trusted here."
    refused = (401, "invalid_token", 'Bearer realm="almenara", error="invalid_token"')
    assert answers == dict.fromkeys(WRONG, refused)


async def test_what_is_right_with_a_token_is_let_in(client: Client) -> None:
    for name, make in RIGHT.items():
        answer = await client.get("/v1/messages", headers=bearer(make()))
        assert answer.status == 200, name


async def test_a_token_that_was_good_is_told_that_it_is_not_any_more(client: Client) -> None:
    answer = await client.get(
        "/v1/messages", headers=bearer(token(exp=now() - 60, iat=now() - 120))
    )
    assert (answer.status, answer.body["code"]) == (401, "token_expired")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("headers", "query", "status", "code", "challenge"),
    [
        ([], "", 401, "token_missing", 'Bearer realm="almenara"'),
        ([("Authorization", "Basic YTpi")], "", 401, "token_missing", 'Bearer realm="almenara"'),
        ([("Authorization", "Bearer")], "", 401, "token_missing", 'Bearer realm="almenara"'),
        ([("Authorization", "Bearer ")], "", 401, "token_missing", 'Bearer realm="almenara"'),
        ([("Authorization", "Bearer a b")], "", 400, "invalid_request", "invalid_request"),
        ([("Authorization", "Bearer a, Bearer b")], "", 400, "invalid_request", "invalid_request"),
        (
            [("Authorization", "Bearer a"), ("Authorization", "Bearer b")],
            "",
            400,
            "invalid_request",
            "invalid_request",
        ),
        ([], "?access_token=abc", 400, "invalid_request", "invalid_request"),
    ],
)
async def test_a_token_comes_once_and_in_the_header(  # noqa: PLR0917 - one row of the table
    client: Client,
    headers: list[tuple[str, str]],
    query: str,
    status: int,
    code: str,
    challenge: str,
) -> None:
    answer = await client.get(f"/v1/messages{query}", headers=headers)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert answer.headers["WWW-Authenticate"].endswith(
        challenge if challenge.startswith("Bearer") else f'error="{challenge}"'
    )


async def test_the_scheme_is_written_in_any_case(client: Client) -> None:
    answer = await client.get("/v1/messages", headers={"Authorization": f"bearer {token()}"})
    assert answer.status == 200


async def test_without_a_token_nothing_but_health_and_the_console_is_answered(
    client: Client,
) -> None:
    for path in ("/v1/messages", "/v1/nothing", "/docs", "/openapi.json", "//"):
        assert (await client.get(path)).status == 401, path
    # A page for people loads before they sign in; what it shows is asked for with their token.
    for path in ("/healthz", "/readyz", "/"):
        assert (await client.get(path)).status == 200, path


@pytest.mark.parametrize("kind", ["RS256", "ES256", "EdDSA"])
async def test_a_public_key_verifies_what_its_private_half_signed(
    tmp_path: Path, kind: str
) -> None:
    settings = make_settings(tmp_path, jwt_issuer=ISSUER, jwt_public_key=public_pem(kind))
    async with served(settings) as client:
        good = token(key=private_key(kind), algorithm=kind)
        assert (await client.get("/v1/messages", headers=bearer(good))).status == 200
        # Signed with the public key as if it were a shared secret (CVE-2015-9235).
        forged = raw(HS, claims(), key=public_pem(kind))
        other = token(key=private_key(kind, 1), algorithm=kind)
        wrong = [forged, other, token()]
        if kind == "RS256":
            wrong.append(token(key=private_key(kind), algorithm="PS256"))
        for one in wrong:
            assert (await client.get("/v1/messages", headers=bearer(one))).status == 401


async def test_a_flood_of_wrong_tokens_is_slowed_and_hurts_nobody_else(client: Client) -> None:
    good = bearer(token())
    assert (await client.get("/v1/messages", headers=good)).status == 200

    async def wrong(number: int) -> int:
        return (await client.get("/v1/messages", headers=bearer(f"wrong{number}"))).status

    statuses = []
    for first in range(0, 1000, 50):
        statuses += await asyncio.gather(*(wrong(one) for one in range(first, first + 50)))
        assert (await client.get("/v1/messages", headers=good)).status == 200
    assert set(statuses) == {401, 429}
    refused = [
        answer
        for answer in await asyncio.gather(
            *(client.get("/v1/messages", headers=bearer("wrong")) for _ in range(50))
        )
        if answer.status == 429
    ]
    assert refused[0].body["code"] == "too_many_requests"
    assert int(refused[0].headers["Retry-After"]) >= 1


async def test_a_token_appears_nowhere(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    shown = [token(sub="canary"), token(sub="canary", aud="other"), "canary.canary.canary"]
    for one in shown:
        answer = await client.get("/v1/messages", headers=bearer(one))
        assert one not in answer.text + str(answer.headers)
        assert one.rpartition(".")[2] not in answer.text
    written = "".join(capsys.readouterr())
    assert "token_refused" in written
    for one in shown:
        assert one not in written
        assert one.rpartition(".")[2] not in written
