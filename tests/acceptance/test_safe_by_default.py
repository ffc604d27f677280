"""What protects a server that nobody configured, and what every answer says to browsers."""

from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from almenara.api.headers import HEADERS
from almenara.app import build
from almenara.errors import ConfigurationError
from almenara.settings import read_settings
from tests.processes import ServerProcess
from tests.serving import Client, make_settings, served
from tests.tokens import ISSUER, SECRET, bearer, token


async def test_every_answer_has_the_safe_headers(client: Client) -> None:
    paths = ("/v1/messages", "/v1/nothing", "/healthz", "/openapi.json")
    for answer in [await client.get(path) for path in paths] + [
        await client.post("/v1/messages", {}),
        await client.call("PATCH", "/v1/messages"),
    ]:
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS


class Page(HTMLParser):
    """What a page loads or runs."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a strict policy would stop."""
        if tag in {"script", "img", "iframe", "link", "object", "form"}:
            self.found.append(tag)
        self.found += [name for name, _ in attrs if name.startswith("on") or name == "style"]


async def test_the_page_about_the_api_runs_and_loads_nothing(client: Client) -> None:
    answer = await client.get("/docs")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    page = Page()
    page.feed(answer.text)
    assert page.found == []
    document = (await client.get("/openapi.json")).body
    for path in document["paths"]:
        assert path in answer.text


async def test_scripts_of_other_pages_may_not_call_unless_they_are_named(tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "headers": {
            "Origin": "https://shop.example.org",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,traceparent",
        }
    }
    async with served(make_settings(tmp_path)) as client:
        answer = await client.call("OPTIONS", "/v1/messages", **asked)
        assert "Access-Control-Allow-Origin" not in answer.headers
    settings = make_settings(
        tmp_path,
        cors_origins="https://shop.example.org",
        jwt_issuer=ISSUER,
        jwt_secret=SECRET,
    )
    async with served(settings) as client:
        answer = await client.call("OPTIONS", "/v1/messages", **asked)
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example.org"
        headers = {"Origin": "https://other.example.org", **bearer(token())}
        answer = await client.get("/v1/messages", headers=headers)
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("almenara.localhost:8000", 200),
        ("[::1]:8000", 200),
        ("evil.example.org", 421),
        ("127.0.0.1.evil.example.org", 421),
        ("localhost.evil.example.org:8000", 421),
        ("evil-localhost", 421),
        ("", 421),
    ],
)
async def test_without_tokens_only_loopbacks_names_are_answered(
    tmp_path: Path, host: str, status: int
) -> None:
    async with served(make_settings(tmp_path)) as client:
        answer = await client.get("/v1/messages", headers={"Host": host})
        assert answer.status == status
        if status == 421:
            assert answer.body["code"] == "host_not_allowed"
            assert "ALMENARA_ALLOWED_HOSTS" in answer.body["detail"]
        # A probe asks by whatever address the machine has.
        assert (await client.get("/healthz", headers={"Host": host})).status == 200


async def test_the_names_that_are_answered_can_be_given(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, allowed_hosts="push.example.org,*.example.net")
    async with served(settings) as client:
        for host, status in (
            ("push.example.org", 200),
            ("a.example.net:443", 200),
            ("example.net", 421),
            ("127.0.0.1", 421),
        ):
            assert (await client.get("/v1/messages", headers={"Host": host})).status == status


async def test_with_tokens_any_name_is_answered(tmp_path: Path) -> None:
    async with served(make_settings(tmp_path, jwt_issuer=ISSUER, jwt_secret=SECRET)) as client:
        headers = bearer(token()) | {"Host": "anything.example.org"}
        assert (await client.get("/v1/messages", headers=headers)).status == 200


def test_a_server_says_that_it_is_open_to_this_machine(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        assert '"event": "open"' in server.output


def test_with_tokens_any_address_is_served(tmp_path: Path) -> None:
    environ = {"ALMENARA_JWT_ISSUER": ISSUER, "ALMENARA_JWT_SECRET": SECRET}
    with ServerProcess(tmp_path, arguments=("--host", "0.0.0.0"), environ=environ) as server:
        assert '"event": "insecure"' not in server.output
        assert '"event": "open"' not in server.output


async def test_of_many_requests_at_once_exactly_the_rate_is_let_in(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, jwt_issuer=ISSUER, jwt_secret=SECRET, sender_rate="20/h")
    async with served(settings) as client:
        one, other = bearer(token(sub="one")), bearer(token(sub="other"))
        answers = await asyncio.gather(
            *(client.get("/v1/messages", headers=one) for _ in range(100))
        )
        assert sorted(answer.status for answer in answers) == [200] * 20 + [429] * 80
        refused = next(answer for answer in answers if answer.status == 429)
        assert refused.body["code"] == "too_many_requests"
        assert 1 <= int(refused.headers["Retry-After"]) <= 180
        assert refused.headers["RateLimit-Policy"] == '"sender";q=20;w=3600'
        assert re.fullmatch(r'"sender";r=0;t=3[56]\d\d', refused.headers["RateLimit"])
        answer = await client.get("/v1/messages", headers=other)
        assert answer.status == 200
        assert answer.headers["RateLimit"].startswith('"sender";r=19;')
        # Health is nobody's request.
        assert (await client.get("/healthz")).status == 200


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"JWT_ISSUER": ISSUER}, "belong together"),
        ({"JWT_SECRET": SECRET}, "belong together"),
        ({"JWT_ISSUER": ISSUER, "JWT_SECRET": SECRET, "JWT_PUBLIC_KEY": "x"}, "belong together"),
        ({"JWT_ISSUER": ISSUER, "JWT_SECRET": "hurried"}, "at least 32 random bytes"),
        ({"JWT_ISSUER": ISSUER, "JWT_SECRET": "a" * 64}, "at least 32 random bytes"),
        ({"JWT_ISSUER": ISSUER, "JWT_PUBLIC_KEY": "x"}, "no public key in PEM"),
        ({"JWT_ISSUER": ISSUER, "JWT_JWKS_URL": "http://id.example.org/"}, "begin with https://"),
        ({"JWT_ISSUER": ISSUER, "JWT_JWKS_URL": "ftp://id.example.org/"}, "is not a URL"),
        ({"JWT_ISSUER": ISSUER, "JWT_JWKS_URL": "https://a:b@c/"}, "is not a URL"),
        ({"JWT_ISSUER": ISSUER, "JWT_JWKS_URL": "https://a:99999/"}, "is not a URL"),
        ({"SENDER_RATE": "often"}, "ALMENARA_SENDER_RATE"),
    ],
)
def test_what_cannot_protect_is_refused_at_the_start(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)) as caught:
        build(read_settings({f"ALMENARA_{name}": text for name, text in environ.items()}))
    for name in ("JWT_SECRET", "JWT_PUBLIC_KEY"):
        assert name not in environ or environ[name] not in caught.value.message.split()
