"""Keys that an issuer publishes: fetched when they are needed, kept when it is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from almenara.auth.authenticator import MOST_REMEMBERED, Authenticator
from almenara.auth.issuers import Issuer
from almenara.auth.key_sets import FRESH_FOR, PAUSE, RENEWED_AFTER, STALE_FOR, PublishedKeys
from almenara.errors import TokenError, UnavailableError
from tests.serving import until
from tests.tokens import (
    AUDIENCE,
    ISSUER,
    IssuerServer,
    claims,
    private_key,
    public_jwk,
    token,
)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[IssuerServer]:
    async with IssuerServer() as one:
        one.document = {"keys": [public_jwk("RS256", kid="a")]}
        yield one


def keys_of(server: IssuerServer, clock: Clock, path: str = "/jwks", **fields: Any) -> Any:
    issuer = Issuer(issuer=ISSUER, audience=AUDIENCE, jwks_url=server.url + path, **fields)
    return PublishedKeys(issuer, clock=clock)


def signed(kind: str = "RS256", number: int = 0, kid: str | None = "a", **changes: Any) -> str:
    key = private_key(kind, number)
    return token(key=key, algorithm=kind, header={"kid": kid} if kid else None, **changes)


async def test_a_token_is_verified_by_the_key_that_it_names(server: IssuerServer) -> None:
    server.document = {"keys": [public_jwk(kind, kid=kind) for kind in ("RS256", "ES256", "EdDSA")]}
    issuer = Issuer(issuer=ISSUER, audience=AUDIENCE, jwks_url=server.url + "/jwks")
    authenticator = Authenticator([issuer])
    for kind in ("RS256", "ES256", "EdDSA"):
        assert (await authenticator.authenticate(signed(kind, kid=kind))).subject == "shop"
    for wrong in (
        signed("RS256", kid="ES256"),
        signed("RS256", 1, kid="RS256"),
        signed("RS256", kid=None),  # several keys, and it names none
        signed("RS256", kid="../../RS256"),
        signed("RS256", kid="' OR 1=1 --"),
    ):
        with pytest.raises(TokenError):
            await authenticator.authenticate(wrong)
    assert server.asked == ["/jwks"]


async def test_a_token_that_names_no_key_has_the_only_one(server: IssuerServer) -> None:
    keys = keys_of(server, Clock())
    assert (await keys.find(None)).key_id == "a"


async def test_a_discovery_document_names_the_keys_of_its_own_issuer(
    server: IssuerServer,
) -> None:
    path = "/.well-known/openid-configuration"
    server.document = {
        path: {"issuer": ISSUER, "jwks_uri": server.url + "/keys"},
        "/keys": {"keys": [public_jwk("ES256", kid="a")]},
    }
    assert (await keys_of(server, Clock(), path).find("a")).algorithm == "ES256"
    assert server.asked == [path, "/keys"]
    for changes in ({"issuer": "https://evil.example"}, {"jwks_uri": "http://evil.example/"}):
        server.document[path] |= changes
        with pytest.raises(UnavailableError):
            await keys_of(server, Clock(), path).find("a")


async def test_a_new_key_is_found_and_an_old_one_forgotten(server: IssuerServer) -> None:
    clock = Clock()
    keys = keys_of(server, clock)
    assert await keys.find("a")
    server.document = {"keys": [public_jwk("RS256", 1, kid="b")]}
    assert await keys.find("b") is None  # it was asked just now
    clock.now += PAUSE
    assert await keys.find("b")
    assert await keys.find("a") is None
    server.document = {"keys": [public_jwk("RS256", 2, kid="c")]}
    clock.now += FRESH_FOR + 1
    assert await keys.find("b") is None
    assert keys.generation == 3


async def test_a_withdrawn_key_ends_what_was_remembered(server: IssuerServer) -> None:
    clock = Clock()
    issuer = Issuer(issuer=ISSUER, audience=AUDIENCE, jwks_url=server.url + "/jwks")
    authenticator = Authenticator([issuer])
    [(_, keys)] = authenticator._issuers.values()
    keys._clock = clock  # type: ignore[attr-defined]  # of published keys
    old = signed()
    await authenticator.authenticate(old)
    server.document = {"keys": [public_jwk("RS256", 1, kid="b")]}
    clock.now += FRESH_FOR + 1
    await authenticator.authenticate(signed(number=1, kid="b"))
    with pytest.raises(TokenError):
        await authenticator.authenticate(old)


async def test_a_key_of_the_same_name_replaces_the_one_before(server: IssuerServer) -> None:
    clock = Clock()
    keys = keys_of(server, clock)
    await keys.find("a")
    server.document = {"keys": [public_jwk("RS256", 1, kid="a")]}
    clock.now += FRESH_FOR + 1
    await keys.find("a")
    assert keys.generation == 2


async def test_keys_are_renewed_beside_the_requests(server: IssuerServer) -> None:
    clock = Clock()
    keys = keys_of(server, clock)
    await keys.find("a")
    clock.now += RENEWED_AFTER + 1
    server.delay_seconds = 0.3
    started = time.monotonic()
    assert await keys.find("a")
    assert time.monotonic() - started < server.delay_seconds

    async def renewed() -> bool:
        return clock.now == keys._fetched_at

    await until(renewed)
    assert len(server.asked) == 2


async def test_a_flood_of_unknown_keys_is_one_request(server: IssuerServer) -> None:
    clock = Clock()
    keys = keys_of(server, clock)
    await keys.find("a")
    clock.now += PAUSE
    found = await asyncio.gather(*(keys.find(f"unknown {number}") for number in range(1000)))
    assert set(found) == {None}
    assert len(server.asked) == 2
    await keys.find("another")
    assert len(server.asked) == 2


async def test_who_asks_at_once_shares_one_request(server: IssuerServer) -> None:
    server.delay_seconds = 0.1
    keys = keys_of(server, Clock())
    found = await asyncio.gather(*(keys.find("a") for _ in range(50)))
    assert len({one.key_id for one in found}) == 1
    assert server.asked == ["/jwks"]


BAD: dict[str, dict[str, Any]] = {
    "an error": {"status": 500},
    "a redirect": {"status": 302},
    "a page": {"document": b"<html></html>"},
    "of another type": {"content_type": "text/html"},
    "10 MB": {"document": b'{"keys": ["' + b"x" * 10_000_000 + b'"]}'},
    "no set": {"document": ["keys"]},
    "no list": {"document": {"keys": {"a": 1}}},
    "nothing in it": {"document": {"keys": []}},
    "only a shared one": {"document": {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]}},
    "only one for encryption": {"document": {"keys": [public_jwk("RS256", kid="a", use="enc")]}},
    "only a short one": {"document": {"keys": [public_jwk("RSA 1024", kid="a")]}},
    "of another algorithm": {"document": {"keys": [public_jwk("RS256", kid="a", alg="PS256")]}},
    "for signing": {"document": {"keys": [public_jwk("RS256", kid="a", key_ops=["sign"])]}},
    "broken": {"document": {"keys": [{"kty": "RSA", "n": "!", "e": "AQAB", "kid": "a"}]}},
    "strange": {"document": {"keys": [7, None, {"kty": ["RSA"]}, {"kty": "EC", "crv": "P-999"}]}},
    "twice the same name": {
        "document": {"keys": [public_jwk("RS256", n, kid="a") for n in (0, 1)]}
    },
    "named by a number": {"document": {"keys": [public_jwk("RS256", kid=1)]}},
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_answers_leave_the_last_good_keys_for_a_day(
    server: IssuerServer, name: str
) -> None:
    clock = Clock()
    keys = keys_of(server, clock)
    good = await keys.find("a")
    for field, value in BAD[name].items():
        setattr(server, field, value)
    clock.now += FRESH_FOR + 1
    assert await keys.find("a") is good
    assert keys.trouble.startswith("the keys of 127.0.0.1:")
    assert len(server.asked) == 2
    clock.now += STALE_FOR
    with pytest.raises(UnavailableError) as caught:
        await keys.find("a")
    assert caught.value.retry_after_seconds == 5


async def test_without_any_keys_it_is_tried_again_soon(server: IssuerServer) -> None:
    clock = Clock()
    server.status = 503
    keys = keys_of(server, clock)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await keys.find("a")
    assert len(server.asked) == 1
    server.status = 200
    clock.now += 5
    assert await keys.find("a")
    assert keys.trouble is None


async def test_an_address_where_nothing_answers_is_trouble(server: IssuerServer) -> None:
    issuer = Issuer(issuer=ISSUER, audience=AUDIENCE, jwks_url="http://127.0.0.1:9/jwks")
    authenticator = Authenticator([issuer])
    with pytest.raises(UnavailableError):
        await authenticator.authenticate(signed())
    assert authenticator.trouble is not None


async def test_no_more_than_so_many_tokens_are_remembered(
    server: IssuerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_REMEMBERED >= 1000
    monkeypatch.setattr("almenara.auth.authenticator.MOST_REMEMBERED", 5)
    issuer = Issuer(issuer=ISSUER, audience=AUDIENCE, jwks_url=server.url + "/jwks")
    authenticator = Authenticator([issuer])
    for number in range(9):
        await authenticator.authenticate(signed(jti=str(number)))
    assert len(authenticator._verified) == 5


async def test_a_remembered_token_still_expires(server: IssuerServer) -> None:
    now = time.time()
    clock = Clock()
    clock.now = now
    issuer = Issuer(issuer=ISSUER, audience=AUDIENCE, jwks_url=server.url + "/jwks")
    authenticator = Authenticator([issuer], clock=clock)
    one = signed(exp=int(now) + 60)
    await authenticator.authenticate(one)
    clock.now += 120
    with pytest.raises(TokenError):
        await authenticator.authenticate(one)


async def test_two_issuers_are_told_apart(server: IssuerServer) -> None:
    other = "https://other.example.org"
    authenticator = Authenticator(
        [
            Issuer(issuer=ISSUER, name="main", audience=AUDIENCE, jwks_url=server.url + "/jwks"),
            Issuer(issuer=other, name="shop", audience=AUDIENCE, secret="0123456789" * 4),
        ]
    )
    assert (await authenticator.authenticate(signed())).subject == "main:shop"
    second = token(key="0123456789" * 4, iss=other)
    assert (await authenticator.authenticate(second)).subject == "shop:shop"
    # The key of one does not speak for the other.
    with pytest.raises(TokenError):
        await authenticator.authenticate(token(key="0123456789" * 4))
    with pytest.raises(TokenError):
        await authenticator.authenticate(signed(iss=other))
    assert claims()["iss"] == ISSUER
