"""What reads texts of others' knows one error, whatever they are, and repeats no secret."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.auth import open_authenticator
from almenara.auth.jose import read_key_set, read_public_key, read_secret
from almenara.errors import ConfigurationError, InvalidInputError, TokenError
from almenara.log import read_cursor, write_cursor
from almenara.secrets.references import References
from almenara.settings import Settings, read_settings
from tests import tokens
from tests.json_values import json_values

#: What the environment can hold.
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
JSON = json_values(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.text(), max_leaves=10
)
SECRETS = sorted(name for name, one in Settings.model_fields.items() if "SecretStr" in str(one))


def settings_or_sentence(**environ: str) -> tuple[Settings | None, str]:
    try:
        return read_settings(environ), ""
    except ConfigurationError as error:
        return None, error.message


@given(st.sampled_from(sorted(Settings.model_fields)), VALUES)
def test_a_setting_of_any_text_is_taken_or_named(name: str, value: str) -> None:
    variable = f"ALMENARA_{name.upper()}"
    settings, sentence = settings_or_sentence(**{variable: value})
    assert settings or variable in sentence or "ALMENARA_JWT" in sentence


@given(st.sampled_from(SECRETS), VALUES.map(lambda text: f"hush-{text}-hush"))
def test_a_secret_setting_that_is_wrong_is_not_repeated(name: str, value: str) -> None:
    settings, sentence = settings_or_sentence(
        ALMENARA_JWT_ISSUER="me", **{f"ALMENARA_{name.upper()}": value}
    )
    assert "hush-" not in f"{settings!r} {sentence}"


@given(VALUES, VALUES)
def test_a_name_that_is_no_setting_is_named(name: str, value: str) -> None:
    variable = f"ALMENARA_X{name}"
    with pytest.raises(ConfigurationError) as refused:
        read_settings({variable: value})
    assert variable in refused.value.message


@given(st.text(max_size=64))
def test_a_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        found = read_cursor(text)
    except InvalidInputError:
        return
    assert read_cursor(write_cursor(found)) == found


@given(st.uuids())
def test_a_cursor_leads_back(identifier: UUID) -> None:
    assert read_cursor(write_cursor(identifier)) == identifier


def _segment(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


#: Texts, three parts of any bytes, and well-formed tokens of any content.
TOKENS = (
    st.text()
    | st.lists(st.binary().map(_segment), max_size=5).map(".".join)
    | st.tuples(JSON, JSON).map(lambda two: tokens.raw(*two))
    | JSON.map(lambda claims: tokens.raw({"alg": "HS256", "typ": "JWT"}, claims))
    | st.dictionaries(
        st.sampled_from(["exp", "iat", "nbf", "sub", "aud", "iss", "scope", "topics"]), JSON
    ).map(lambda changes: tokens.raw({"alg": "HS256"}, tokens.claims(**changes)))
)


@given(TOKENS)
def test_any_text_as_a_token_is_refused_by_one_error(token: str) -> None:
    environ = {
        "ALMENARA_JWT_ISSUER": tokens.ISSUER,
        "ALMENARA_JWT_AUDIENCE": tokens.AUDIENCE,
        "ALMENARA_JWT_SECRET": tokens.SECRET,
    }
    authenticator = open_authenticator(read_settings(environ))
    assert authenticator is not None
    try:
        principal = asyncio.run(authenticator.authenticate(token))
    except TokenError:
        return
    # Hypothesis may change what does not matter, and only that.
    assert principal.subject == "shop" or '"sub"' in _opened(token)


def _opened(token: str) -> str:
    return base64.urlsafe_b64decode(token.split(".")[1] + "==").decode()


@given(JSON | st.fixed_dictionaries({"keys": st.lists(JSON)}))
def test_a_document_is_a_key_set_or_refused(document: Any) -> None:
    with pytest.raises(ValueError, match=r"JWK Set|none of its keys"):
        read_key_set(document)


@given(
    st.dictionaries(
        st.sampled_from(["kty", "kid", "alg", "use", "n", "e", "crv", "x", "y", "k", "key_ops"]),
        JSON | st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB"]),
    )
)
def test_a_published_key_of_any_content_is_left_out(entry: dict[str, Any]) -> None:
    good = tokens.public_jwk("ES256", kid="good")
    found = read_key_set({"keys": [entry, good]})
    assert set(found) >= {"good"} or entry.get("kid") == "good"


@given(st.text())
def test_a_text_is_no_key_or_a_secret_that_is_long_enough(text: str) -> None:
    with pytest.raises(ValueError, match="no public key in PEM"):
        read_public_key(text)
    try:
        read_secret(text)
    except (ValueError, UnicodeEncodeError):
        return
    assert len(text.encode()) >= 32


@given(st.text() | JSON.map(json.dumps))
def test_a_file_of_issuers_is_read_or_refused_with_its_name(text: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "auth.toml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(ConfigurationError, match=r"auth\.toml"):
            open_authenticator(read_settings({"ALMENARA_AUTH_FILE": str(file)}))


@given(st.sampled_from(["env:", "file:", ""]), st.text())
def test_a_reference_of_any_text_leads_somewhere_or_is_refused(kind: str, text: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "known").write_text("opened", encoding="utf-8")
        references = References(Path(directory))
        written = kind + text
        try:
            values, _ = references.follow({"token": written})
        except InvalidInputError:
            return
        assert values["token"] in {written, "opened"} or kind == "env:"


def test_the_secret_settings_are_those_that_are_tried() -> None:
    assert {"secret_key", "jwt_secret", "database_url", "broker_url"} <= set(SECRETS)
