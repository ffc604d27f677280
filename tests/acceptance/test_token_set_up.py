"""What `almenara check`, `almenara token` and `/readyz` say of tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from almenara.check import Finding, check_set_up
from almenara.cli import run
from almenara.settings import Settings
from tests.serving import make_settings, served
from tests.tokens import ISSUER, SECRET, IssuerServer, bearer, private_key, public_jwk, token

NOWHERE = "http://127.0.0.1:9/jwks"


async def tokens_of(settings: Settings) -> Finding:
    return next(one for one in await check_set_up(settings) if one.subject == "tokens")


@pytest.mark.parametrize(
    ("values", "level", "said"),
    [
        ({}, "ok", "only this machine reaches the server"),
        ({"host": "0.0.0.0"}, "warning", "others reach 0.0.0.0; set ALMENARA_JWT_ISSUER"),
        ({"jwt_issuer": ISSUER, "jwt_secret": SECRET}, "ok", f"Those of {ISSUER} are trusted."),
        ({"jwt_issuer": ISSUER, "jwt_secret": "hurried"}, "error", "too short or too simple"),
        ({"jwt_issuer": ISSUER, "jwt_jwks_url": NOWHERE}, "error", "cannot be fetched"),
    ],
)
async def test_a_check_says_whether_tokens_can_be_verified(
    tmp_path: Path, values: dict[str, str], level: str, said: str
) -> None:
    finding = await tokens_of(make_settings(tmp_path, **values))
    assert finding.level == level
    assert said in finding.message


async def test_a_check_fetches_the_keys(tmp_path: Path) -> None:
    async with IssuerServer() as server:
        server.document = {"keys": [public_jwk(kind, kid=kind) for kind in ("ES256", "EdDSA")]}
        settings = make_settings(tmp_path, jwt_issuer=ISSUER, jwt_jwks_url=server.url + "/jwks")
        assert (await tokens_of(settings)).level == "ok"
        assert server.asked == ["/jwks"]


async def test_keys_that_cannot_be_fetched_are_told_and_keep_others_out(tmp_path: Path) -> None:
    async with IssuerServer() as server:
        server.status = 500
        settings = make_settings(tmp_path, jwt_issuer=ISSUER, jwt_jwks_url=server.url + "/jwks")
        async with served(settings) as client:
            assert (await client.get("/readyz")).body["checks"]["tokens"] == "ok"
            signed = token(key=private_key("ES256"), algorithm="ES256")
            answer = await client.get("/v1/messages", headers=bearer(signed))
            assert (answer.status, answer.body["code"]) == (503, "unavailable")
            assert answer.headers["Retry-After"] == "5"
            ready = await client.get("/readyz")
            assert (ready.status, ready.body["status"]) == (200, "degraded")
            assert "cannot be fetched" in ready.body["checks"]["tokens"]


def test_a_token_is_made_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALMENARA_JWT_ISSUER", ISSUER)
    monkeypatch.setenv("ALMENARA_JWT_SECRET", SECRET)
    assert run(["token", "--scope", "messages:send", "--topic", "sales.*", "--for", "1h"]) == 0
    assert capsys.readouterr().out.strip().count(".") == 2
    assert run(["token", "--for", "2d"]) != 0
    assert "ALMENARA_JWT_MAX_AGE_SECONDS" in capsys.readouterr().err
    assert run(["token", "--scope", "everything"]) == 2
