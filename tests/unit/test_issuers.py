"""Who issues tokens: what may stand in the settings and in the file, and what it makes of them."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from pathlib import Path

import pytest

from almenara.auth import Authenticator, Principal, Scope, open_authenticator
from almenara.auth.development import make_token
from almenara.auth.issuers import read_issuers
from almenara.errors import ConfigurationError, ForbiddenError, InvalidInputError, TokenError
from almenara.settings import Settings, read_settings
from tests.tokens import ISSUER, SECRET, private_key, public_pem, token

ONE = f"""
[[issuers]]
issuer = "{ISSUER}"
audience = ["almenara", "notify"]
secret = "{SECRET}"
"""


def settings_of(directory: Path, text: str) -> Settings:
    path = directory / "auth.toml"
    path.write_text(text)
    return read_settings({"ALMENARA_AUTH_FILE": str(path)})


def opened(directory: Path, text: str) -> Authenticator:
    authenticator = open_authenticator(settings_of(directory, text))
    assert authenticator is not None
    return authenticator


async def test_a_file_may_say_what_an_issuers_words_mean(tmp_path: Path) -> None:
    authenticator = opened(
        tmp_path,
        ONE
        + """
        scope_claims = ["realm_access.roles", "scope"]
        topics_claim = "https://example.org/topics"
        denied_subjects = ["mallory"]
        denied_token_ids = ["stolen"]
        types = ["JWT", "access"]
        [issuers.roles]
        notifier = ["messages:send", "messages:read"]
        """,
    )

    async def principal(**claims: object) -> Principal:
        return await authenticator.authenticate(token(**claims))

    found = await principal(realm_access={"roles": ["notifier", "cook"]})
    assert found == Principal("shop", frozenset({Scope.SEND, Scope.READ}))
    assert (await principal(scope="config:read", aud="notify")).scopes == {Scope.CONFIG_READ}
    assert (await principal(scope="")).scopes == frozenset()
    narrowed = await principal(**{"https://example.org/topics": ["Sales.*"]})
    assert narrowed.topics == ("sales.*",)
    assert narrowed.scopes == {Scope.SEND, Scope.READ, Scope.MANAGE}
    with pytest.raises(ForbiddenError):
        await principal(sub="mallory")
    with pytest.raises(TokenError):
        await principal(jti="stolen")
    assert await authenticator.authenticate(token(header={"typ": "ACCESS"}))


async def test_keys_may_stand_in_files(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(public_pem("ES256"))
    (tmp_path / "secret").write_text(SECRET + "\n")
    authenticator = opened(
        tmp_path,
        f"""
        [[issuers]]
        issuer = "{ISSUER}"
        audience = "almenara"
        public_key_file = "{tmp_path}/key.pem"
        name = "one"
        [[issuers]]
        issuer = "other"
        audience = "almenara"
        secret_file = "{tmp_path}/secret"
        """,
    )
    assert authenticator.names == (ISSUER, "other")
    signed = token(key=private_key("ES256"), algorithm="ES256")
    assert (await authenticator.authenticate(signed)).subject == "one:shop"
    assert (await authenticator.authenticate(token(iss="other"))).subject == "shop"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "write tables [[issuers]]"),
        ("issuers = 1", "write tables [[issuers]]"),
        ("issuers = []", "write tables [[issuers]]"),
        ("x = 1\n" + ONE, "write tables [[issuers]]"),
        ("[[issuers]", "is not TOML"),
        (ONE + ONE, "another `issuer`"),
        (ONE + ONE.replace("id.", "other."), "another `name`"),
        (ONE.replace("secret", "sekret"), "issuers.1.sekret: Extra inputs"),
        (ONE + "public_key = 'x'", "issuers.1: write one of jwks_url"),
        (ONE.replace(f'secret = "{SECRET}"', ""), "issuers.1: write one of jwks_url"),
        (ONE + "roles = {a = ['messages:sendx']}", "issuers.1.roles.a.0: Input should be"),
        (ONE.replace(SECRET, "hurried"), "at least 32 random bytes"),
        (
            ONE.replace(f'secret = "{SECRET}"', "secret_file = '/nowhere'"),
            "/nowhere cannot be read",
        ),
        (ONE.replace(f'secret = "{SECRET}"', "jwks_url = 'http://a/'"), "must begin with https"),
        (
            ONE.replace(f'secret = "{SECRET}"', f"public_key = '''{public_pem('RSA 1024')}'''"),
            "RSA key of 2048 bits",
        ),
    ],
)
def test_a_file_that_cannot_be_used_says_where_it_is_wrong(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)) as caught:
        open_authenticator(settings_of(tmp_path, text))
    assert SECRET not in caught.value.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = read_settings({"ALMENARA_AUTH_FILE": str(tmp_path / "none.toml")})
    with pytest.raises(ConfigurationError, match=r"none\.toml .* cannot be read"):
        open_authenticator(settings)


def test_the_file_and_the_settings_are_not_both_written(tmp_path: Path) -> None:
    (tmp_path / "auth.toml").write_text(ONE)
    settings = read_settings(
        {
            "ALMENARA_AUTH_FILE": str(tmp_path / "auth.toml"),
            "ALMENARA_JWT_ISSUER": ISSUER,
            "ALMENARA_JWT_SECRET": SECRET,
        }
    )
    with pytest.raises(ConfigurationError, match="keep one"):
        read_issuers(settings)


def test_without_settings_no_tokens_are_asked_for() -> None:
    assert open_authenticator(read_settings({})) is None


DEVELOPMENT = {"ALMENARA_JWT_ISSUER": "development", "ALMENARA_JWT_SECRET": SECRET}


async def test_a_token_for_development_is_one_that_the_server_takes() -> None:
    settings = read_settings(DEVELOPMENT)
    made = make_token(
        settings,
        subject="me",
        scopes=[Scope.SEND],
        topics=["sales.*"],
        lifetime=timedelta(hours=1),
    )
    authenticator = open_authenticator(settings)
    assert authenticator is not None
    found = await authenticator.authenticate(made)
    assert found == Principal("me", frozenset({Scope.SEND}), ("sales.*",))
    later = Authenticator(read_issuers(settings), clock=lambda: time.time() + 3700)
    with pytest.raises(TokenError):
        await later.authenticate(made)


@pytest.mark.parametrize(
    ("environ", "topics", "hours", "said"),
    [
        (DEVELOPMENT, ["sa*es"], 1, "the beginning of names"),
        (DEVELOPMENT, [], 25, "live longer than 1 day"),
        ({}, [], 1, "openssl rand -base64 48"),
        (
            {"ALMENARA_JWT_ISSUER": ISSUER, "ALMENARA_JWT_PUBLIC_KEY": public_pem("EdDSA")},
            [],
            1,
            "from the issuer alone",
        ),
    ],
)
def test_a_token_that_the_server_would_refuse_is_not_made(
    environ: dict[str, str], topics: list[str], hours: int, said: str
) -> None:
    with pytest.raises((ConfigurationError, InvalidInputError), match=re.escape(said)):
        make_token(
            read_settings(environ),
            subject="me",
            scopes=[],
            topics=topics,
            lifetime=timedelta(hours=hours),
        )
